/** The processes of a benchmark: started pinned to a core where that is possible, and stopped by their pid, all of them. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Counts, Order } from './messages.ts';
import { allowedCores } from './procfs.ts';

/** How long a process may take to stop before it is killed. */
const STOP_MS = 8_000;
const ANSWER_MS = 30_000;

/** Which core each part runs on; null when the parts cannot be pinned. */
export interface Cores {
  readonly proxy: number;
  readonly generator: number;
  readonly backend: number;
}

/** The proxy gets a core of its own; generator and backend share one unless there are three. */
export function chooseCores(): Cores | null {
  const cores = allowedCores();
  if (cores.length < 2 || spawnSync('taskset', ['-V']).status !== 0) return null;
  return { proxy: cores[cores.length - 1]!, generator: cores[0]!, backend: cores.length > 2 ? cores[1]! : cores[0]! };
}

const running = new Set<ChildProcess>();

export interface StartOptions {
  readonly core: number | null;
  /** Whether `send` and `message` are wanted. */
  readonly ipc?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** Standard output is dropped; standard error is kept for the message when the process ends too early. */
export function start(command: string, args: readonly string[], options: StartOptions): ChildProcess {
  const pinned = options.core === null ? [command, ...args] : ['taskset', '-c', String(options.core), command, ...args];
  const child = spawn(pinned[0]!, pinned.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe', ...(options.ipc === true ? (['ipc'] as const) : [])],
    env: { ...process.env, ...options.env },
  });
  running.add(child);
  let complaint = '';
  child.stderr?.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes.toString()).slice(-2_000);
  });
  child.once('exit', (code, signal) => {
    if (running.delete(child)) {
      process.stderr.write(`bench: ${command} ended by itself (${signal ?? code})\n${complaint}\n`);
    }
  });
  return child;
}

/** Asks a process to stop, waits until it has, and kills it when it takes too long. */
export async function stop(child: ChildProcess): Promise<void> {
  running.delete(child);
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  child.kill('SIGTERM');
  await gone;
  clearTimeout(timer);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(stop));
}

/** Starts the mock backend; resolves to its process and port. */
export async function startBackend(core: number | null): Promise<{ child: ChildProcess; port: number }> {
  const child = start(process.execPath, [fileURLToPath(import.meta.resolve('./backend.ts'))], { core, ipc: true });
  const { port } = (await nextMessage(child)) as { port: number };
  return { child, port };
}

export interface Generator {
  readonly child: ChildProcess;
  order(order: Order): Promise<Counts>;
}

export function startGenerator(core: number | null): Generator {
  const child = start(process.execPath, [fileURLToPath(import.meta.resolve('./generator.ts'))], { core, ipc: true });
  return {
    child,
    order: async (order) => {
      const answer = nextMessage(child);
      child.send(order);
      return (await answer) as Counts;
    },
  };
}

async function nextMessage(child: ChildProcess): Promise<unknown> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const [message] = (await once(child, 'message', { signal })) as [unknown];
  return message;
}
