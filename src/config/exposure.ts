/** Whether a configuration would let strangers in without anybody having said so: then nothing is started. */
import type { Address } from '../core/options.ts';
import { hasIdentities } from '../identity/options.ts';
import type { Problem } from './problem.ts';
import type { LoadedConfig } from './load.ts';

/** What is wrong, with what to do about it; none when only this machine can connect, or clients say who they are. */
export function exposureProblems({ config, origins }: Pick<LoadedConfig, 'config' | 'origins'>): readonly Problem[] {
  const { admin, auth, clients, listen } = config;
  const origin = (path: string) => origins.get(path) ?? ({ kind: 'default' } as const);
  const problems: Problem[] = [];
  if (auth === 'auto' && !hasIdentities(clients) && !isOwnAddress(listen.address)) {
    const message =
      '`listen.address` can be reached from other machines, and nobody would have to say who they are. Give clients keys: ' +
      '`clients: {keys: FILE}` and `llamero keys create NAME`. Or, where everybody who can connect may use the models, say so: ' +
      '`auth: open`, or LLAMERO_AUTH=open';
    problems.push({ origin: origin('listen.address'), message });
  }
  if (auth === 'required' && !hasIdentities(clients) && Object.keys(clients.networks).length === 0) {
    const message =
      '`auth: required` needs `clients.keys`, `clients.authorizedKeys` or `clients.tokens`: nobody could come in';
    problems.push({ origin: origin('auth'), message });
  }
  // Without a token nothing can be changed from elsewhere; where the gateway is open on purpose, everybody may look.
  if (admin.token === undefined && auth !== 'open' && !isOwnAddress(admin.address)) {
    const message =
      '`admin.address` can be reached from other machines: set `admin.token`, or LLAMERO_ADMIN_TOKEN, which operators then send ' +
      'to look and to change something';
    problems.push({ origin: origin('admin.address'), message });
  }
  return problems;
}

/** Whether an address can only be reached from this machine. */
export function isOwnAddress({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
