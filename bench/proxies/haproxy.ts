/**
 * HAProxy: one thread, connections kept on both sides, no log. `http-no-delay` because without it HAProxy may hold small
 * chunks back to send them together, which nobody who streams tokens wants.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../load/processes.ts';
import { freePort, versionFrom, whenReady, type Proxy } from './proxy.ts';

export const haproxy: Proxy = {
  name: 'haproxy',
  version: () => versionFrom('haproxy', '-v'),
  async start({ directory, backendPort, core }) {
    const port = await freePort();
    const file = join(directory, `haproxy-${port}.cfg`);
    writeFileSync(file, haproxyConfig({ port, backendPort }));
    const child = start('haproxy', ['-db', '-q', '-f', file], { core });
    return whenReady('haproxy', child, port, '/api/version');
  },
};

export function haproxyConfig({ port, backendPort }: { port: number; backendPort: number }): string {
  return `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 2s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend public
  bind 127.0.0.1:${port} backlog 1024
  default_backend ollama
backend ollama
  server one 127.0.0.1:${backendPort}
`;
}
