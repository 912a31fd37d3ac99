/** What a schema cannot say: rules between options, and files that have to be there. */
import { hostOf, isSpecialAddress } from '../backends/address-guard.ts';
import { backendSpecs } from '../core/backend.ts';
import type { Address } from '../core/options.ts';
import { parseWhere } from '../core/placement.ts';
import { readText, type Files } from './files.ts';
import { nearest } from './nearest.ts';
import type { Origin, Problem } from './problem.ts';
import type { Origins } from './resolve.ts';
import type { Config } from './schema.ts';

export interface Checked {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** A configuration in which validation may have left holes. */
export type Draft<T> = T extends readonly (infer Item)[]
  ? readonly (Draft<Item> | undefined)[]
  : T extends object
    ? { readonly [K in keyof T]?: Draft<T[K]> | undefined }
    : T;

/** Of a backend or of the listener. */
type DraftTls = { readonly [part in 'ca' | 'cert' | 'key']?: string | undefined };
type DraftBackend = Draft<Config['backends'][number]>;

export async function checkConfig(config: Draft<Config>, origins: Origins, files: Files): Promise<Checked> {
  const checker = new Checker(origins);
  checker.addresses(config);
  await checker.tlsFiles({ tls: config.listen?.tls }, 'listen.tls', files);
  checker.ownCertificate(config);
  const backends = config.backends ?? [];
  for (const [i, backend] of backends.entries()) {
    if (!backend) continue;
    checker.url(backend, `backends[${i}]`, config);
    checker.credential(backend, `backends[${i}]`);
    await checker.tlsFiles(backend, `backends[${i}].tls`, files);
  }
  checker.names(backends);
  checker.placement(config);
  for (const [name, bounds] of Object.entries(config.metrics?.buckets ?? {})) {
    checker.ascending(bounds, `metrics.buckets.${name}`);
  }
  return { problems: checker.problems, warnings: checker.warnings };
}

class Checker {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  readonly #origins: Origins;

  constructor(origins: Origins) {
    this.#origins = origins;
  }

  addresses({ listen, admin }: Draft<Config>): void {
    const [open, operators] = [listen?.address as Address | undefined, admin?.address as Address | undefined];
    if (!open || !operators || !overlap(open, operators)) return;
    // Said where a person wrote one of them: the other may be the default.
    const path = this.#origin('admin.address').kind === 'default' ? 'listen.address' : 'admin.address';
    this.#complain(path, '`admin.address` is also `listen.address`; give each its own port');
  }

  url({ url: written, specialAddress, tls }: DraftBackend, path: string, { listen, admin }: Draft<Config>): void {
    if (written === undefined || !URL.canParse(written)) return;
    const url = new URL(written);
    const at = `\`${path}.url\``;
    if (specialAddress !== true && isSpecialAddress(hostOf(written))) {
      this.#complain(
        `${path}.url`,
        `${at} is a link-local or another special address; if a backend is there, say \`specialAddress: true\``,
      );
    }
    if (url.username !== '' || url.password !== '') {
      this.#complain(`${path}.url`, `${at} holds a credential, which would end up in logs; use \`auth.token\``);
    }
    if (/[?#]/.test(written)) this.#complain(`${path}.url`, `${at} is an address; it has no \`?\` or \`#\` part`);
    for (const [option, address] of Object.entries({
      'listen.address': listen?.address,
      'admin.address': admin?.address,
    })) {
      if (!address || !isSelf(url, address as Address)) continue;
      this.#complain(`${path}.url`, `${at} is the gateway’s own \`${option}\`; requests would go round in circles`);
    }
    if (tls && url.protocol !== 'https:') {
      this.#complain(`${path}.tls`, `\`${path}.tls\` is for an https:// URL, and \`url\` is http://`);
    }
  }

  credential({ url, auth }: DraftBackend, path: string): void {
    if (!auth || url === undefined || !URL.canParse(url)) return;
    const { protocol, hostname } = new URL(url);
    if (protocol === 'https:' || isLoopback(hostname)) return;
    const message = `\`${path}.auth.token\` travels unencrypted, because \`url\` is http://`;
    this.warnings.push({ origin: this.#origin(`${path}.auth.token`), message });
  }

  async tlsFiles({ tls }: { readonly tls?: DraftTls | undefined }, path: string, files: Files): Promise<void> {
    for (const option of ['ca', 'cert', 'key'] as const) {
      const file = tls?.[option];
      const text = file === undefined ? '' : await readText(files, file);
      if (typeof text !== 'string') this.#complain(`${path}.${option}`, `\`${path}.${option}\`: ${text.message}`);
    }
    if (tls && (tls.cert === undefined) !== (tls.key === undefined)) {
      const [given, other] = tls.cert === undefined ? ['key', 'cert'] : ['cert', 'key'];
      this.#complain(`${path}.${given}`, `\`${path}.${given}\` needs \`${other}\` beside it`);
    }
  }

  ownCertificate({ listen }: Draft<Config>): void {
    if (!listen?.tls || listen.tls.cert !== undefined || listen.tls.key !== undefined) return;
    this.#complain('listen.tls.ca', '`listen.tls` needs `cert` and `key`');
  }

  /** Only where the whole fleet is written down: what is discovered or adopted has its names later. */
  placement({ placement, backends, simulate }: Draft<Config>): void {
    const written = (backends ?? []).filter((backend) => backend?.url !== undefined) as Config['backends'];
    if (written.length === 0 || written.some(({ discover }) => discover !== undefined)) return;
    const simulated = Array.from({ length: simulate?.count ?? 0 }, (_, i) => `sim${i + 1}`);
    const known = [...backendSpecs(written).map(({ id }) => id), ...simulated];
    for (const [operation, text] of Object.entries(placement ?? {})) {
      const where = typeof text === 'string' ? parseWhere(text) : null;
      for (const name of where?.kind === 'named' ? where.names : []) {
        if (known.includes(name)) continue;
        const near = nearest(name, known);
        const hint = near === null ? `they are ${known.join(', ')}` : `did you mean \`${near}\`?`;
        this.#complain(
          `placement.${operation}`,
          `\`placement.${operation}\` names \`${name}\`, which is no backend; ${hint}`,
        );
      }
    }
  }

  ascending(bounds: readonly (number | undefined)[] | undefined, path: string): void {
    const whole = (bounds ?? []).filter((bound) => bound !== undefined);
    const i = whole.findIndex((bound, at) => at > 0 && bound <= whole[at - 1]!);
    if (i > 0) this.#complain(`${path}[${i}]`, `\`${path}\` has to ascend, and ${whole[i]} follows ${whole[i - 1]}`);
  }

  names(backends: readonly (DraftBackend | undefined)[]): void {
    const first = new Map<string, number>();
    for (const [i, backend] of backends.entries()) {
      if (backend?.name === undefined) continue;
      const earlier = first.get(backend.name);
      if (earlier === undefined) first.set(backend.name, i);
      else {
        const message = `\`backends[${i}]\` has the name of \`backends[${earlier}]\`, \`${backend.name}\`; give it another \`name\``;
        this.#complain(`backends[${i}].name`, message);
      }
    }
  }

  #complain(path: string, message: string): void {
    this.problems.push({ origin: this.#origin(path), message });
  }

  #origin(path: string): Origin {
    for (let at = path; at !== ''; at = at.replace(/(?:\.[^.[\]]*|\[[0-9]+\]|^[^.[]+)$/, '')) {
      const origin = this.#origins.get(at);
      if (origin) return origin;
    }
    return { kind: 'default' };
  }
}

function overlap(a: Address, b: Address): boolean {
  if (a.port === 0 || a.port !== b.port) return false;
  return a.host === b.host || isWildcard(a.host) || isWildcard(b.host);
}

function isSelf(url: URL, listen: Address): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  if (listen.port === 0 || port !== listen.port) return false;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return host === listen.host || (isLoopback(host) && (isLoopback(listen.host) || isWildcard(listen.host)));
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.startsWith('127.') || host === '::1' || host === '[::1]';
}
