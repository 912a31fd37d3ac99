/** The loads of the overhead benchmark, and how much of each a run takes. */
import type { Load } from './messages.ts';
import type { Pace } from './measure.ts';
import { CHUNK_INTERVAL_MS, CHUNKS_PER_STREAM } from './script.ts';

export interface Scenario {
  readonly key: 'small' | 'paced' | 'streams';
  readonly title: string;
  /** What CPU time is divided by. */
  readonly unit: 'request' | 'chunk';
  readonly load: Omit<Load, 'port'>;
  readonly pace: Pace;
}

export const CONNECTIONS = 16;
export const STREAMS = 200;
/** How many open streams memory is measured at: what is promised, and enough that the slack of a heap shows less. */
export const MEMORY_STREAMS = [STREAMS, 1_000] as const;
export const PACED_RATE = 1_000;

const streamMs = CHUNKS_PER_STREAM * CHUNK_INTERVAL_MS;

/** `quick`: windows a third as long, for a look rather than a record. */
export function scenarios(quick: boolean): readonly Scenario[] {
  return [
    {
      key: 'small',
      title: `small JSON answers, ${CONNECTIONS} connections, each asks again once it is answered`,
      unit: 'request',
      load: { model: 'small', connections: CONNECTIONS, spreadMs: 0 },
      pace: { rampMs: 300, windowMs: quick ? 1_000 : 2_500 },
    },
    {
      key: 'paced',
      title: `small JSON answers, ${PACED_RATE} requests/s at fixed times, timed from when they were due`,
      unit: 'request',
      load: { model: 'small', connections: 64, rate: PACED_RATE, spreadMs: 50 },
      pace: { rampMs: 300, windowMs: quick ? 700 : 2_000 },
    },
    {
      key: 'streams',
      title: `${STREAMS} streams of ${CHUNKS_PER_STREAM} chunks, ${CHUNK_INTERVAL_MS} ms apart`,
      unit: 'chunk',
      load: { model: 'stream', connections: STREAMS, spreadMs: streamMs },
      pace: { rampMs: 1.2 * streamMs, windowMs: quick ? 1_000 : 2_500 },
    },
  ];
}
