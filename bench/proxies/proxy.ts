/** What the benchmark measures: something that listens on a port and passes requests on to the mock backend. */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { stop } from '../load/processes.ts';
import { processTree } from '../load/procfs.ts';

export interface ProxyContext {
  /** A directory of this run's own, for configuration files. */
  readonly directory: string;
  readonly backendPort: number;
  readonly core: number | null;
  /** Where Node-based proxies write a CPU profile when they stop; null for none. */
  readonly profileDirectory: string | null;
}

export interface Proxy {
  readonly name: string;
  /** Its version; null when it is not installed here. */
  version(): string | null;
  start(context: ProxyContext): Promise<RunningProxy>;
}

export interface RunningProxy {
  readonly port: number;
  /** Every process that works for it. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

const READY_MS = 20_000;
const ANSWER_MS = 2_000;
const POLL_MS = 50;

/** A port nobody listens on at the moment, for programs that cannot be given port 0. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  return address.port;
}

/** Waits until `path` answers 200, then takes stock of the processes. Throws when it takes longer than 20 s. */
export async function whenReady(name: string, child: ChildProcess, port: number, path: string): Promise<RunningProxy> {
  const deadline = performance.now() + READY_MS;
  while (!(await answers(port, path))) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`${name} does not serve`);
    await delay(POLL_MS);
  }
  return { port, pids: processTree(child.pid!), stop: () => stop(child) };
}

/** The first thing that looks like a version in what a program says; null when there is no such program. */
export function versionFrom(command: string, flag: string): string | null {
  const { status, stdout, stderr } = spawnSync(command, [flag], { encoding: 'utf8' });
  if (status !== 0) return null;
  return /\d+\.\d+\.\d+/.exec(`${stdout}${stderr}`)?.[0] ?? 'unknown';
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(ANSWER_MS) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
