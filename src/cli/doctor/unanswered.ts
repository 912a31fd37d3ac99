/** Why a server could not be asked, and what to do about it. */
import type { Finding } from './facts.ts';

type Told = Pick<Finding, 'code' | 'problem' | 'fix'>;

export function unanswered(url: string, { code, message }: { readonly code: string; readonly message: string }): Told {
  if (code === 'FILE') {
    const fix = 'correct the file names under `tls` of the backend';
    return { code: 'tls', problem: `names a file that cannot be read: ${message}`, fix };
  }
  const { hostname, port, protocol } = new URL(url);
  const isHere = /^(?:localhost|127\..*|\[::1\])$/.test(hostname);
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') {
    const fix = isHere
      ? 'start it with `ollama serve`; seen from inside a container this address is the container itself: use host.docker.internal there'
      : 'start Ollama there; if it runs, it listens on its own loopback only: set OLLAMA_HOST=0.0.0.0 in its environment, and let its firewall pass the port';
    return { code: 'unreachable', problem: `refuses connections on port ${port || portOf(protocol)} (${code})`, fix };
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const fix = `correct the name, or give the address; \`getent hosts ${hostname}\` has to know it here`;
    return { code: 'unreachable', problem: `has a name that cannot be resolved: ${hostname}`, fix };
  }
  if (code === 'TIMEOUT' || code === 'ETIMEDOUT') {
    const fix = `see whether the machine is on, and whether a firewall drops port ${port || portOf(protocol)}: \`curl -m 5 ${url}/api/version\``;
    return { code: 'unreachable', problem: 'does not answer within 5 s', fix };
  }
  const tls = aboutTls(code, hostname, port);
  if (tls !== null) return tls;
  if (code.startsWith('HPE_') || code === 'ECONNRESET') {
    const fix = `if it is behind TLS write https:// in its URL; \`curl -v ${url}/api/version\` shows what listens there`;
    return { code: 'not-ollama', problem: `answers something that is not HTTP (${code})`, fix };
  }
  return {
    code: 'unreachable',
    problem: `cannot be asked: ${message}`,
    fix: `\`curl -v ${url}/api/version\` shows more`,
  };
}

function aboutTls(code: string, hostname: string, port: string): Told | null {
  if (/CERT|SELF_SIGNED|ISSUER|ALTNAME/.test(code)) {
    const fix =
      code === 'CERT_HAS_EXPIRED'
        ? 'renew its certificate'
        : code === 'ERR_TLS_CERT_ALTNAME_INVALID'
          ? `call it by a name that its certificate has, or give it one for ${hostname}`
          : 'give the file of the authority that signed it: `tls: {ca: ca.pem}` of the backend';
    return { code: 'tls', problem: `has a certificate that is not trusted here (${code})`, fix };
  }
  if (code === 'EPROTO' || /SSL|TLS/.test(code)) {
    return {
      code: 'tls',
      problem: 'does not speak TLS on this port',
      fix: `write http://${hostname}:${port || 11434}; Ollama itself has no TLS`,
    };
  }
  return null;
}

function portOf(protocol: string): number {
  return protocol === 'https:' ? 443 : 80;
}
