/**
 * HAProxy: one thread, connections kept on both sides, no log. `http-no-delay` because without it HAProxy may hold small
 * chunks back to send them together, which nobody who streams tokens wants.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from '../load/processes.ts';
import { freePort, versionFrom, whenReady, type Proxy, type RunningProxy } from './proxy.ts';

export const haproxy: Proxy = {
  name: 'haproxy',
  version: () => versionFrom('haproxy', '-v'),
  start: ({ backendPort, core, directory }) => startHaproxy({ directory, core }, { ports: [backendPort] }),
};

export interface HaproxyOptions {
  /** Of the backends. */
  readonly ports: readonly number[];
  /** Seconds to connect, and that clients and backends may be silent. */
  readonly connect?: number;
  readonly patience?: number;
  /** What follows the address of each backend. */
  readonly server?: string;
  /** Lines more, in the section they are named after. */
  readonly defaults?: readonly string[];
  readonly backend?: readonly string[];
}

export async function startHaproxy(
  { core, directory }: { readonly directory: string; readonly core: number | null },
  options: HaproxyOptions,
): Promise<RunningProxy> {
  const port = await freePort();
  const file = join(directory, `haproxy-${port}.cfg`);
  writeFileSync(file, haproxyConfig(port, options));
  const child = start('haproxy', ['-db', '-q', '-f', file], { core });
  return whenReady('haproxy', child, port, '/api/version');
}

export function haproxyConfig(port: number, options: HaproxyOptions): string {
  const { backend = [], connect = 2, defaults = [], patience = 600, ports, server = '' } = options;
  return `global
  nbthread 1
  maxconn 8192
defaults
  ${['mode http', 'option http-no-delay', 'http-reuse always', ...defaults].join('\n  ')}
  timeout connect ${connect}s
  timeout client ${patience}s
  timeout server ${patience}s
  timeout http-keep-alive 600s
frontend public
  bind 127.0.0.1:${port} backlog 1024
  default_backend ollamas
backend ollamas
  ${[...backend, ...ports.map((one, index) => `server backend-${index} 127.0.0.1:${one}${server}`)].join('\n  ')}
`;
}
