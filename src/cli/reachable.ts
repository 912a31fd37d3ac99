/** Where a client on this machine finds what listens on an address. */
import type { Address } from '../core/options.ts';

/** A wildcard address is one to listen on; the machine itself is reached by its loopback address. */
export function reachable({ host, port }: Address): Address {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port };
  return host === '::' ? { host: 'localhost', port } : { host, port };
}
