/** What stands between the clients and the backends of a live run. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start, stop } from '../load/processes.ts';
import { freePort, versionFrom, whenReady } from '../proxies/proxy.ts';
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
  async start({ directory, ports }) {
    const port = await freePort();
    const home = join(directory, `nginx-${port}`);
    mkdirSync(home);
    const file = join(home, 'nginx.conf');
    writeFileSync(file, nginxConfig({ home, port, ports }));
    return whenReady(
      'nginx',
      start('nginx', ['-p', home, '-c', file, '-e', 'stderr'], { core: null }),
      port,
      '/api/version',
    );
  },
};

const haproxy: Contender = {
  name: 'HAProxy leastconn + maxconn',
  simulated: 'central-queue-blind',
  version: () => versionFrom('haproxy', '-v'),
  async start({ directory, of, ports }) {
    const port = await freePort();
    const file = join(directory, `haproxy-${port}.cfg`);
    writeFileSync(file, haproxyConfig({ port, ports, maxconn: of.slots * of.places }));
    return whenReady('haproxy', start('haproxy', ['-db', '-q', '-f', file], { core: null }), port, '/api/version');
  },
};

export const contenders: readonly Contender[] = [llamero, nginx, haproxy];

function nginxConfig(options: { home: string; port: number; ports: readonly number[] }): string {
  const { home, port, ports } = options;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
worker_processes 1;
pid ${home}/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${home}/${name};`).join('\n  ')}
  client_max_body_size 64m;
  client_body_buffer_size 4m;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream backends {
    least_conn;
    ${ports.map((one) => `server 127.0.0.1:${one} max_fails=0;`).join('\n    ')}
    keepalive 1024;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      proxy_pass http://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
      proxy_buffering off;
      proxy_next_upstream off;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
    }
  }
}
`;
}

function haproxyConfig(options: { port: number; ports: readonly number[]; maxconn: number }): string {
  const { maxconn, port, ports } = options;
  return `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-no-delay
  http-reuse always
  retries 0
  timeout connect 10s
  timeout queue 3600s
  timeout client 3600s
  timeout server 3600s
  timeout http-keep-alive 600s
frontend public
  bind 127.0.0.1:${port} backlog 1024
  default_backend ollamas
backend ollamas
  balance leastconn
  ${ports.map((one, index) => `server backend-${index} 127.0.0.1:${one} maxconn ${maxconn}`).join('\n  ')}
`;
}
