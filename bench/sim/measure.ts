/** A run in figures. Unfinished requests count as infinitely late, except where a name says `finished`. */
import type { Played, Record } from './world.ts';

export interface Figures {
  readonly requests: number;
  readonly finished: number;
  /** Share of the requests measured. */
  readonly finishedShare: number;
  /** Time to first token in seconds; Infinity where that many never finished. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  /** The same of finished requests only. */
  readonly finishedP50: number;
  readonly finishedP99: number;
  /** Whole answers, in seconds. */
  readonly totalP99: number;
  readonly loads: number;
  readonly reloads: number;
  /** Cached share of the prompt tokens that one cache as large as the fleet's would remember; null when there are none. */
  readonly prefixHit: number | null;
  /** Output tokens a second, of all. */
  readonly outputRate: number;
  /** Jain's index of output tokens between clients; null with one client. */
  readonly jain: number | null;
  /** TTFT p99 of the client called `light`, whether the answer was finished or not; null without one. */
  readonly lightP99: number | null;
}

export function figuresOf({ records, loads, outputRate, reloads }: Played): Figures {
  const finished = records.filter(({ doneAt }) => doneAt !== null);
  const late = (record: Record): number => (record.doneAt === null ? Infinity : ttft(record));
  const all = records.map(late).sort((a, b) => a - b);
  const done = finished.map(ttft).sort((a, b) => a - b);
  const totals = records
    .map(({ doneAt, ask }) => (doneAt === null ? Infinity : (doneAt - ask.arrivedAt) / 1000))
    .sort((a, b) => a - b);
  const light = records.filter(({ ask }) => ask.conversation.client === 'light').map(ttft);
  return {
    requests: records.length,
    finished: finished.length,
    finishedShare: records.length === 0 ? 1 : finished.length / records.length,
    p50: percentile(all, 0.5),
    p90: percentile(all, 0.9),
    p99: percentile(all, 0.99),
    finishedP50: percentile(done, 0.5),
    finishedP99: percentile(done, 0.99),
    totalP99: percentile(totals, 0.99),
    loads,
    reloads,
    prefixHit: prefixHit(finished),
    outputRate,
    jain: jain(finished),
    lightP99:
      light.length === 0
        ? null
        : percentile(
            light.sort((a, b) => a - b),
            0.99,
          ),
  };
}

/** Of each figure the median over the runs. */
export function medianFigures(runs: readonly Figures[]): Figures {
  const keys = Object.keys(runs[0]!) as (keyof Figures)[];
  return Object.fromEntries(
    keys.map((key) => {
      const values = runs.map((run) => run[key]).filter((value) => value !== null);
      return [key, values.length === 0 ? null : median(values)];
    }),
  ) as unknown as Figures;
}

/** Nearest rank, of values in ascending order; NaN of none. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

function median(values: readonly number[]): number {
  return percentile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

function ttft({ firstAt, ask }: Record): number {
  return ((firstAt ?? Infinity) - ask.arrivedAt) / 1000;
}

function prefixHit(records: readonly Record[]): number | null {
  let reusable = 0;
  let cached = 0;
  for (const { ask, cachedTokens } of records) {
    reusable += ask.turn.reusableTokens;
    cached += cachedTokens;
  }
  return reusable === 0 ? null : cached / reusable;
}

function jain(records: readonly Record[]): number | null {
  const tokens = new Map<string, number>();
  for (const { ask } of records) {
    const { client } = ask.conversation;
    tokens.set(client, (tokens.get(client) ?? 0) + ask.turn.outputTokens);
  }
  if (tokens.size < 2) return null;
  const values = [...tokens.values()];
  const sum = values.reduce((total, value) => total + value, 0);
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0));
}
