/**
 * How many requests a runner serves at once. Ollama does not tell; but a request beyond its slots waits inside it, and the
 * durations of its answer show that wait. So one more than proven is tried, and a quarter of them where they are
 * many, until one has had to wait: more than that at once would make too many wait where it was in vain.
 */
import type { Millis } from '../types.ts';

/** Nobody runs more in parallel, and each attempt beyond the slots costs somebody a wait. */
const MOST = 32;
/** Shorter waits inside the backend are not waits for a slot. */
const NOTICEABLE_MS = 300;
/** After so long a bound is tried again: the server may have been restarted with another setting. */
const RETRY_MS = 600_000;

export class SlotEstimate {
  /** So many were served at once. */
  #proven = 1;
  /** More were not, as seen at `#boundAt`. */
  #bound = MOST;
  #boundAt: Millis = 0;

  limit(now: Millis): number {
    if (this.#bound < MOST && now - this.#boundAt > RETRY_MS) this.#bound = MOST;
    return Math.min(this.#proven + Math.max(1, Math.floor(this.#proven / 4)), this.#bound);
  }

  /** A request that went out as one of `active` got its first token before any of the others ended. */
  served(active: number): void {
    this.#proven = Math.max(this.#proven, Math.min(active, MOST));
    this.#bound = Math.max(this.#bound, this.#proven);
  }

  /** A request that went out as one of `active` waited so long inside the backend for its turn. */
  waited(active: number, hiddenMs: Millis, now: Millis): void {
    if (hiddenMs < NOTICEABLE_MS || active <= 1) return;
    this.#bound = Math.max(1, Math.min(this.#bound, active - 1));
    this.#proven = Math.min(this.#proven, this.#bound);
    this.#boundAt = now;
  }

  /** Whether it is known how many are too many. */
  get isKnown(): boolean {
    return this.#bound < MOST || this.#proven >= MOST;
  }

  /** More than so many had to wait; null while none has. */
  get most(): number | null {
    return this.isKnown ? this.#bound : null;
  }

  /** Expects what another runner of the same server has shown: OLLAMA_NUM_PARALLEL is one for all. */
  expect(other: SlotEstimate): void {
    this.#proven = other.#proven;
    this.#bound = other.#bound;
    this.#boundAt = other.#boundAt;
  }

  get proven(): number {
    return this.#proven;
  }

  /** As it was saved. */
  restore(proven: number): void {
    this.#proven = Math.min(MOST, Math.max(1, Math.floor(proven)));
  }
}
