/** Names resolved by the system: /etc/hosts and friends for addresses, DNS for services. */
import { lookup, resolveSrv } from 'node:dns/promises';
import type { Resolver } from './dns.ts';

export const nodeResolver: Resolver = {
  async addresses(host) {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => address);
  },
  async services(name) {
    const found = await resolveSrv(name);
    const best = Math.min(...found.map(({ priority }) => priority));
    return found
      .filter(({ priority }) => priority === best)
      .map(({ name: host, port, weight }) => ({ host, port, weight }));
  },
};
