/** How much each runner is wanted: how often of late, and how much waiting the lack of it has caused. */
import { Recent } from '../recent.ts';
import type { Millis, RunnerKey } from '../types.ts';
import { LearntRate } from './learnt.ts';

export interface Demand {
  /** Waiting so far, in ms x jobs, since a place was last bought for it or nobody waited. */
  readonly regretMs: Millis;
  readonly waiting: number;
}

interface Row {
  /** Of the last minute, and of the last half hour: bursts count, and so does what is quiet for a moment. */
  readonly recent: LearntRate;
  readonly usual: LearntRate;
  regretMs: Millis;
  waiting: number;
  countedAt: Millis;
}

const RECENT_MS = 30_000;
const USUAL_MS = 900_000;

/** Runners whose demand is remembered; the one asked for least recently is forgotten first. */
const REMEMBERED = 4000;

export class Demands {
  readonly #rows = new Recent<RunnerKey, Row>(REMEMBERED, ({ waiting }) => waiting === 0);

  /** A request came. */
  came(key: RunnerKey, now: Millis): void {
    const row = this.#row(key, now);
    row.recent.add(now);
    row.usual.add(now);
    this.#rows.touch(key);
  }

  /** Requests per ms. */
  rate(key: RunnerKey, now: Millis): number {
    const row = this.#rows.get(key);
    return row === undefined ? 0 : Math.max(row.recent.perMs(now), row.usual.perMs(now));
  }

  /** So many wait now; the waiting since the last count is added up. */
  count(key: RunnerKey, waiting: number, now: Millis): Demand {
    const row = this.#row(key, now);
    row.regretMs = waiting === 0 ? 0 : row.regretMs + row.waiting * (now - row.countedAt);
    row.waiting = waiting;
    row.countedAt = now;
    return row;
  }

  /** A place was bought: the waiting is paid for. */
  settle(key: RunnerKey): void {
    const row = this.#rows.get(key);
    if (row !== undefined) row.regretMs = 0;
  }

  #row(key: RunnerKey, now: Millis): Row {
    return (
      this.#rows.get(key) ??
      this.#rows.add(key, {
        recent: new LearntRate(RECENT_MS, now),
        usual: new LearntRate(USUAL_MS, now),
        regretMs: 0,
        waiting: 0,
        countedAt: now,
      })
    );
  }
}
