/** One visit of one target: a load, a ramp, a window in which everything is counted, and what came of it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Load, Quantiles } from './messages.ts';
import { cpuMicros, residentBytes } from './procfs.ts';
import type { Generator } from './processes.ts';

/** How long a process gets to settle before its memory is read. */
const SETTLE_MS = 2_000;
/** How long warming may take; far more than the slowest proxy on a busy machine needs. */
const WARM_MS = 60_000;

/** Something under load: a proxy, or the backend itself when nothing is between. */
export interface Target {
  readonly name: string;
  readonly port: number;
  /** Its processes; empty for the direct way. */
  readonly pids: readonly number[];
}

export interface Bystanders {
  readonly generator: Generator;
  /** The backend's processes. */
  readonly backendPids: readonly number[];
}

export interface Pace {
  readonly rampMs: number;
  readonly windowMs: number;
}

export interface Visit {
  readonly windowMs: number;
  readonly answers: number;
  readonly chunks: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly latency: Quantiles | null;
  readonly chunkDelay: Quantiles | null;
  /** CPU microseconds in the window; null where the kernel does not tell. */
  readonly proxyCpu: number | null;
  readonly generatorCpu: number | null;
  readonly backendCpu: number | null;
}

export async function visit(target: Target, load: Omit<Load, 'port'>, pace: Pace, others: Bystanders): Promise<Visit> {
  const { generator, backendPids } = others;
  const generatorPids = [generator.child.pid!];
  const snapshot = () => ({
    at: performance.now(),
    proxy: target.pids.length === 0 ? 0 : cpuMicros(target.pids),
    generator: cpuMicros(generatorPids),
    backend: cpuMicros(backendPids),
  });
  await generator.order({ do: 'start', load: { ...load, port: target.port } });
  await delay(pace.rampMs);
  const first = await generator.order({ do: 'mark' });
  const before = snapshot();
  await delay(pace.windowMs);
  const last = await generator.order({ do: 'freeze' });
  const after = snapshot();
  const end = await generator.order({ do: 'stop' });
  const spent = (a: number | null, b: number | null) => (a === null || b === null ? null : b - a);
  return {
    windowMs: after.at - before.at,
    answers: last.answers - first.answers,
    chunks: last.chunks - first.chunks,
    errors: end.errors,
    latency: end.latency,
    chunkDelay: end.chunkDelay,
    proxyCpu: spent(before.proxy, after.proxy),
    generatorCpu: spent(before.generator, after.generator),
    backendCpu: spent(before.backend, after.backend),
  };
}

/**
 * Sends small requests until `requests` of them are answered, so that compilers have seen the hot path. Throws when the
 * target answers wrongly, or not at all.
 */
export async function warm(target: Target, requests: number, generator: Generator): Promise<void> {
  const load = { port: target.port, model: 'small', connections: 16, spreadMs: 0 } as const;
  const deadline = performance.now() + WARM_MS;
  let { answers, errors } = await generator.order({ do: 'start', load });
  while (answers < requests && Object.keys(errors).length === 0) {
    if (performance.now() > deadline) throw new Error(`${target.name} gave ${answers} answers in ${WARM_MS / 1000} s`);
    await delay(100);
    ({ answers, errors } = await generator.order({ do: 'mark' }));
  }
  ({ errors } = await generator.order({ do: 'stop' }));
  if (Object.keys(errors).length > 0) {
    throw new Error(`${target.name} failed while it was warmed: ${JSON.stringify(errors)}`);
  }
}

/** Resident bytes a process has more with `streams` open, nearly idle streams than `before`; null where unknown. */
export async function bytesPerStream(
  target: Target,
  streams: number,
  before: number | null,
  generator: Generator,
): Promise<number | null> {
  const load = { port: target.port, model: 'hold', connections: streams, spreadMs: streams } as const;
  await generator.order({ do: 'start', load });
  await delay(streams + SETTLE_MS);
  const after = residentBytes(target.pids);
  const { errors } = await generator.order({ do: 'stop' });
  if (Object.keys(errors).length > 0) throw new Error(`held streams failed: ${JSON.stringify(errors)}`);
  return before === null || after === null ? null : (after - before) / streams;
}

/** Resident bytes of a process that has come to rest. */
export async function bytesAtRest(target: Target): Promise<number | null> {
  await delay(SETTLE_MS);
  return residentBytes(target.pids);
}
