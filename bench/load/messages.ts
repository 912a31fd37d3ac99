/** What the bench's own processes say to each other. */
import type { ModelKey } from './script.ts';

/** A load: what to ask, over how many connections, and how it is paced. */
export interface Load {
  readonly port: number;
  readonly model: ModelKey;
  readonly connections: number;
  /** Requests a second at fixed times whatever the answers do; absent: each connection asks again once it is answered. */
  readonly rate?: number;
  /** Milliseconds over which the connections make their first request. */
  readonly spreadMs: number;
}

/** To the generator. Each order is answered by one `Counts`: at once, but for `stop`, whose comes after the last answer. */
export type Order =
  | { readonly do: 'start'; readonly load: Load }
  /** From now on, collect samples. */
  | { readonly do: 'mark' }
  /** Collect no more samples. */
  | { readonly do: 'freeze' }
  /** Ask nothing new, and tell the quantiles of the samples. */
  | { readonly do: 'stop' };

/** Milliseconds. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** What was counted since `start`. */
export interface Counts {
  /** Answers received whole and right. */
  readonly answers: number;
  /** Streamed lines received whole and right. */
  readonly chunks: number;
  /** How many answers went wrong, by what was wrong with them. */
  readonly errors: Readonly<Record<string, number>>;
  /** From a request's (due) time to the end of a small answer, or to the first body byte of a stream; after `stop` only. */
  readonly latency: Quantiles | null;
  /** From a line's sending to its arrival; after `stop` only. */
  readonly chunkDelay: Quantiles | null;
}
