/** nginx: one worker, nothing buffered, connections to the backend kept, no access log. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../load/processes.ts';
import { freePort, versionFrom, whenReady, type Proxy } from './proxy.ts';

export const nginx: Proxy = {
  name: 'nginx',
  version: () => versionFrom('nginx', '-v'),
  async start({ directory, backendPort, core }) {
    const port = await freePort();
    const home = join(directory, `nginx-${port}`);
    mkdirSync(home);
    const file = join(home, 'nginx.conf');
    writeFileSync(file, nginxConfig({ home, port, backendPort }));
    const child = start('nginx', ['-p', home, '-c', file, '-e', 'stderr'], { core });
    return whenReady('nginx', child, port, '/api/version');
  },
};

export function nginxConfig(options: { home: string; port: number; backendPort: number }): string {
  const { home, port, backendPort } = options;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
worker_processes 1;
pid ${home}/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${home}/${name};`).join('\n  ')}
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream backend {
    server 127.0.0.1:${backendPort};
    keepalive 1024;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
      proxy_send_timeout 600s;
    }
  }
}
`;
}
