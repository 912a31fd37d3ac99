/**
 * Slots of a runner that are not given to whoever already has most of them while others come and go: so that somebody who asks for
 * little finds a slot rather than waits for one. Only for a time, because nobody may come.
 */
import type { Millis, RunnerKey } from '../types.ts';

/** How long free slots are kept. */
const KEPT_MS = 1200;

/** What backends that serve a runner can take. */
export interface Room {
  readonly slots: number;
  readonly free: number;
}

export class Headroom {
  readonly #share: number;
  /** Since when some of its slots have been free. */
  readonly #since = new Map<RunnerKey, Millis>();

  /** Of a runner's slots, rounded down. */
  constructor(share: number) {
    this.#share = share;
  }

  /** Until when the free slots are kept; null when they are not, because there are more, or it has been long enough. */
  keptUntil(key: RunnerKey, { free, slots }: Room, now: Millis): Millis | null {
    const kept = Math.floor(slots * this.#share);
    if (kept === 0) return null;
    if (free === 0) {
      this.#since.delete(key);
      return null;
    }
    let since = this.#since.get(key);
    if (since === undefined) {
      since = now;
      this.#since.set(key, now);
    }
    return free <= kept && now < since + KEPT_MS ? since + KEPT_MS : null;
  }

  /** Nobody waits for it. */
  forget(key: RunnerKey): void {
    this.#since.delete(key);
  }
}
