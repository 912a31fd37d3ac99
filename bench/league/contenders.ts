/** What stands between the clients and the backends of a live run. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../load/processes.ts';
import { startHaproxy } from '../proxies/haproxy.ts';
import { startNginx } from '../proxies/nginx.ts';
import { versionFrom } from '../proxies/proxy.ts';
import type { Case } from '../sim/cases.ts';
import type { GatewayOrder, GatewayReady } from './gateway.ts';

export interface Field {
  readonly of: Case;
  readonly scale: number;
  /** Of the backends. */
  readonly ports: readonly number[];
  /** A directory of this run's own. */
  readonly directory: string;
}

export interface Contender {
  readonly name: string;
  /** The entrant of the simulated league that does the same. */
  readonly simulated: string;
  /** Null when it is not installed here. */
  version(): string | null;
  start(field: Field): Promise<{ readonly port: number; stop(): Promise<void> }>;
}

const llamero: Contender = {
  name: 'Llamero',
  simulated: 'soonest',
  version: () => 'this one',
  async start({ of, ports, scale }) {
    const order: GatewayOrder = { of, ports, scale };
    const script = fileURLToPath(import.meta.resolve('./gateway.ts'));
    const child = start(process.execPath, [script, JSON.stringify(order)], { core: null, ipc: true });
    const [{ port }] = (await once(child, 'message', { signal: AbortSignal.timeout(30_000) })) as [GatewayReady];
    return { port, stop: () => stop(child) };
  },
};

const nginx: Contender = {
  name: 'nginx least_conn',
  simulated: 'least-conn-blind',
  version: () => versionFrom('nginx', '-v'),
  start: ({ directory, ports }) =>
    startNginx(
      { directory, core: null },
      {
        ports,
        patience: 3600,
        server: ' max_fails=0',
        http: ['client_max_body_size 64m;', 'client_body_buffer_size 4m;'],
        upstream: ['least_conn;'],
        location: ['proxy_set_header Host localhost;', 'proxy_next_upstream off;'],
      },
    ),
};

const haproxy: Contender = {
  name: 'HAProxy leastconn + maxconn',
  simulated: 'central-queue-blind',
  version: () => versionFrom('haproxy', '-v'),
  start: ({ directory, of, ports }) =>
    startHaproxy(
      { directory, core: null },
      {
        ports,
        connect: 10,
        patience: 3600,
        server: ` maxconn ${of.slots * of.places}`,
        defaults: ['retries 0', 'timeout queue 3600s'],
        backend: ['balance leastconn'],
      },
    ),
};

export const contenders: readonly Contender[] = [llamero, nginx, haproxy];
