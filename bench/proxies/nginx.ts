/** nginx: one worker, nothing buffered, connections to the backend kept, no access log. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../load/processes.ts';
import { freePort, versionFrom, whenReady, type Proxy, type RunningProxy } from './proxy.ts';

export const nginx: Proxy = {
  name: 'nginx',
  version: () => versionFrom('nginx', '-v'),
  start: ({ backendPort, core, directory }) => startNginx({ directory, core }, { ports: [backendPort] }),
};

export interface NginxOptions {
  /** Of the backends. */
  readonly ports: readonly number[];
  /** Seconds a backend may be silent. */
  readonly patience?: number;
  /** What follows the address of each backend. */
  readonly server?: string;
  /** Directives more, at the level they are named after. */
  readonly http?: readonly string[];
  readonly upstream?: readonly string[];
  readonly location?: readonly string[];
}

export async function startNginx(
  { core, directory }: { readonly directory: string; readonly core: number | null },
  options: NginxOptions,
): Promise<RunningProxy> {
  const port = await freePort();
  const home = join(directory, `nginx-${port}`);
  mkdirSync(home);
  const file = join(home, 'nginx.conf');
  writeFileSync(file, nginxConfig(home, port, options));
  const child = start('nginx', ['-p', home, '-c', file, '-e', 'stderr'], { core });
  return whenReady('nginx', child, port, '/api/version');
}

export function nginxConfig(home: string, port: number, options: NginxOptions): string {
  const { http = [], location = [], patience = 600, ports, server = '', upstream = [] } = options;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
worker_processes 1;
pid ${home}/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  ${[...temporary.map((name) => `${name}_temp_path ${home}/${name};`), ...http].join('\n  ')}
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream backends {
    ${[...upstream, ...ports.map((one) => `server 127.0.0.1:${one}${server};`)].join('\n    ')}
    keepalive 1024;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      ${['proxy_pass http://backends;', 'proxy_http_version 1.1;', ...location].join('\n      ')}
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout ${patience}s;
      proxy_send_timeout ${patience}s;
    }
  }
}
`;
}
