/** Llamero itself, in a process of its own, as an operator would run it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { start } from '../load/processes.ts';
import { freePort, whenReady, type Proxy } from './proxy.ts';

/** Every feature on: metrics, a log line per request, breaker, scheduler. */
export const llamero = variant('llamero', 'info');
/** Without the log lines. */
export const llameroBare = variant('llamero-bare', 'warn');

function variant(name: string, logLevel: string): Proxy {
  return {
    name,
    version,
    async start({ directory, backendPort, core, profileDirectory }) {
      const port = await freePort();
      const file = join(directory, `${name}-${port}.yaml`);
      writeFileSync(file, llameroConfig({ port, backendPort, logLevel }));
      const main = fileURLToPath(import.meta.resolve('../../src/main.ts'));
      const profile = profileDirectory === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDirectory}`];
      const child = start(process.execPath, [...profile, main, '--config', file], { core });
      return whenReady(name, child, port, '/readyz');
    },
  };
}

function version(): string | null {
  const file = fileURLToPath(import.meta.resolve('../../package.json'));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

export function llameroConfig(options: { port: number; backendPort: number; logLevel: string }): string {
  const { port, backendPort, logLevel } = options;
  return `listen:
  address: 127.0.0.1:${port}
admin:
  address: 127.0.0.1:0
backends:
  - name: bench
    url: http://127.0.0.1:${backendPort}
    slots: 1024
    parallel: 1000
log:
  level: ${logLevel}
`;
}
