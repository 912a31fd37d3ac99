/**
 * Which web pages may speak to the gateway, and under which names it answers: Ollama's own two rules, kept by the gateway because
 * the backends see neither the client's `Origin` nor its `Host` (ollama-wire §6).
 */
import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';

export interface DoorOptions {
  /** Origins of web pages; one `*` in each stands for any text, and `*` alone for every origin. */
  readonly origins: readonly string[];
  /** Names to answer to on loopback, beside those that can only mean this machine or its network. */
  readonly hosts: readonly string[];
  /** This machine's own name. */
  readonly hostname: string;
}

export type Admission =
  /** No page is involved, or one of the gateway's own; nothing has to be said about it. */
  { readonly kind: 'open' } | { readonly kind: 'allowed'; readonly allowOrigin: string } | { readonly kind: 'refused' };

export interface Door {
  /** `isLoopback`: the listener can only be reached from this machine. */
  admit(headers: IncomingHttpHeaders, isLoopback: boolean): Admission;
}

const OPEN: Admission = { kind: 'open' };
const REFUSED: Admission = { kind: 'refused' };

export function createDoor({ origins, hosts, hostname }: DoorOptions): Door {
  const isAllowedOrigin = originRule(origins);
  const isOwnHost = hostRule(hosts, hostname);
  const allowsEveryOrigin = origins.includes('*');
  let lastHost = '';
  return {
    admit({ host = '', origin }, isLoopback) {
      // Almost every request names the same host as the one before.
      if (isLoopback && host !== lastHost) {
        if (!isOwnHost(host)) return REFUSED;
        lastHost = host;
      }
      if (origin === undefined || origin === '') return OPEN;
      if (origin === `http://${host}` || origin === `https://${host}`) return OPEN;
      if (!isAllowedOrigin(origin)) return REFUSED;
      return { kind: 'allowed', allowOrigin: allowsEveryOrigin ? '*' : origin };
    },
  };
}

/** Ollama's list, and what its own does not have: Anthropic's fields, keys, and ours. */
const allowedHeaders =
  'Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,X-Stainless-Async,' +
  'X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,X-Stainless-Os,' +
  'X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,X-Stainless-Runtime,' +
  'X-Stainless-Runtime-Version,X-Stainless-Timeout,' +
  'X-Api-Key,Anthropic-Version,Anthropic-Beta,Anthropic-Dangerous-Direct-Browser-Access,' +
  'X-Request-Id,X-Session-Id,Traceparent,Tracestate,X-Llamero-Placement';

/** The head of the answer to a preflight, in Ollama's order. `allow` are the methods of the path; null when there is none. */
export function preflightHeaders(allowOrigin: string, allow: string | null): string[] {
  const fields = [
    ['Access-Control-Allow-Headers', allowedHeaders],
    ['Access-Control-Allow-Methods', 'GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS'],
    ['Access-Control-Allow-Origin', allowOrigin],
    ['Access-Control-Max-Age', '43200'],
    ...(allow === null ? [] : [['Allow', allow]]),
    ['Vary', 'Origin'],
    ['Vary', 'Access-Control-Request-Method'],
    ['Vary', 'Access-Control-Request-Headers'],
  ];
  return fields.flat();
}

/** The fields of an answer to a page that is allowed: first and last, as Ollama orders them. */
export function withOrigin(headers: readonly string[], allowOrigin: string | null): readonly string[] {
  if (allowOrigin === null) return headers;
  const vary = allowOrigin === '*' ? [] : ['Vary', 'Origin'];
  return ['Access-Control-Allow-Origin', allowOrigin, ...headers, ...vary];
}

function originRule(origins: readonly string[]): (origin: string) => boolean {
  const patterns = origins.map((origin) => origin.trim().toLowerCase());
  const exact = new Set(patterns);
  const parts = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*', 2));
  return (origin) =>
    exact.has(origin) ||
    parts.some(
      ([start = '', end = '']) =>
        origin.length >= start.length + end.length && origin.startsWith(start) && origin.endsWith(end),
    );
}

/** Addresses that no public name server can hand a page to reach this machine by: the page would have to be here already. */
const near = new BlockList();
near.addSubnet('127.0.0.0', 8);
near.addSubnet('10.0.0.0', 8);
near.addSubnet('172.16.0.0', 12);
near.addSubnet('192.168.0.0', 16);
near.addAddress('0.0.0.0');
near.addAddress('::1', 'ipv6');
near.addAddress('::', 'ipv6');
near.addSubnet('fc00::', 7, 'ipv6');

function hostRule(hosts: readonly string[], hostname: string): (header: string) => boolean {
  const known = new Set(['', 'localhost', hostname, ...hosts].map((host) => host.toLowerCase()));
  if (known.has('*')) return () => true;
  return (header) => {
    const host = withoutPort(header).toLowerCase();
    const version = isIP(host);
    if (version !== 0) return near.check(host, version === 6 ? 'ipv6' : 'ipv4') || known.has(host);
    return known.has(host) || /\.(?:localhost|local|internal)$/.test(host);
  };
}

function withoutPort(header: string): string {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header);
  return match?.[1] ?? match?.[2] ?? header;
}
