/** Who may ask at all: Ollama's Host check on loopback, and its CORS rules (ollama-wire §6). */
import { hostname, networkInterfaces } from 'node:os';
import { BlockList, isIP } from 'node:net';
import type { Exchange, Headers } from './wire.ts';

/** `pass`: go on, with these headers on the answer. `stop`: answer with this status and no body. */
export type Verdict =
  | { readonly kind: 'pass'; readonly headers: Headers }
  | { readonly kind: 'stop'; readonly status: number; readonly headers: Headers };

const allowedHeaders = [
  'Authorization',
  'Content-Type',
  'User-Agent',
  'Accept',
  'X-Requested-With',
  'Openai-Beta',
  ...[
    'Arch',
    'Async',
    'Custom-Poll-Interval',
    'Helper-Method',
    'Lang',
    'Os',
    'Package-Version',
    'Poll-Helper',
    'Retry-Count',
    'Runtime',
    'Runtime-Version',
    'Timeout',
  ].map((name) => `X-Stainless-${name}`),
].join(',');

const allowedOrigins =
  /^(?:https?:\/\/(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::.*)?|(?:app|file|tauri|vscode-webview|vscode-file):\/\/.*)$/u;

export function checkOrigin({ request, method }: Exchange): Verdict {
  const { origin, host = '' } = request.headers;
  if (origin === undefined || origin === '' || origin === `http://${host}` || origin === `https://${host}`) {
    return { kind: 'pass', headers: [] };
  }
  if (!allowedOrigins.test(origin)) return { kind: 'stop', status: 403, headers: [] };
  const allow = ['Access-Control-Allow-Origin', origin] as const;
  if (method !== 'OPTIONS') return { kind: 'pass', headers: [allow, ['Vary', 'Origin']] };
  return {
    kind: 'stop',
    status: 204,
    headers: [
      ['Access-Control-Allow-Headers', allowedHeaders],
      ['Access-Control-Allow-Methods', 'GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS'],
      allow,
      ['Access-Control-Max-Age', '43200'],
      ['Vary', 'Origin'],
      ['Vary', 'Access-Control-Request-Method'],
      ['Vary', 'Access-Control-Request-Headers'],
    ],
  };
}

const local = new BlockList();
local.addSubnet('127.0.0.0', 8);
local.addSubnet('10.0.0.0', 8);
local.addSubnet('172.16.0.0', 12);
local.addSubnet('192.168.0.0', 16);
local.addAddress('0.0.0.0');
local.addAddress('::1', 'ipv6');
local.addAddress('::', 'ipv6');
local.addSubnet('fc00::', 7, 'ipv6');

/** Only a server that listens on loopback looks at the Host; `onLoopback` says whether this one does. */
export function checkHost({ request, method }: Exchange, onLoopback: boolean): Verdict {
  const pass = { kind: 'pass', headers: [] } as const;
  if (!onLoopback) return pass;
  const host = withoutPort(request.headers.host ?? '').toLowerCase();
  const family = isIP(host);
  if (family !== 0 && (local.check(host, family === 6 ? 'ipv6' : 'ipv4') || isOwnAddress(host))) return pass;
  if (!isLocalName(host)) return { kind: 'stop', status: 403, headers: [] };
  return method === 'OPTIONS' ? { kind: 'stop', status: 204, headers: [] } : pass;
}

function isLocalName(host: string): boolean {
  return (
    host === '' ||
    host === 'localhost' ||
    host === hostname().toLowerCase() ||
    /\.(?:localhost|local|internal)$/u.test(host)
  );
}

function isOwnAddress(host: string): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host));
}

function withoutPort(host: string): string {
  const bracketed = /^\[(.*)\](?::\d*)?$/u.exec(host);
  if (bracketed !== null) return bracketed[1]!;
  return host.split(':').length === 2 ? host.slice(0, host.indexOf(':')) : host;
}

/** True for the addresses and names on which Ollama checks the Host. */
export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || address.startsWith('127.');
}
