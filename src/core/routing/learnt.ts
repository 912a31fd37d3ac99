/** Numbers learnt from what happens: means that forget, and rates of events. */
import type { Millis } from '../types.ts';

/** A mean in which the newest samples count most: the first ones evenly, then each with at least `newest`. */
export class LearntMean {
  readonly #newest: number;
  #mean = 0;
  #samples = 0;

  constructor(newest = 0.1) {
    this.#newest = newest;
  }

  add(sample: number): void {
    this.#samples += 1;
    this.#mean += Math.max(this.#newest, 1 / this.#samples) * (sample - this.#mean);
  }

  /** Null until the first sample. */
  get value(): number | null {
    return this.#samples === 0 ? null : this.#mean;
  }

  /** One more sample, when there is one. */
  take(sample: number | null): void {
    if (sample !== null) this.add(sample);
  }
}

/** Events per millisecond of late: each counts with a weight that falls by half every `halfLifeMs`. */
export class LearntRate {
  readonly #decayMs: Millis;
  #count = 0;
  #at: Millis;

  constructor(halfLifeMs: Millis, now: Millis) {
    this.#decayMs = halfLifeMs / Math.LN2;
    this.#at = now;
  }

  add(now: Millis): void {
    this.#count = this.#countAt(now) + 1;
    this.#at = now;
  }

  perMs(now: Millis): number {
    return this.#countAt(now) / this.#decayMs;
  }

  #countAt(now: Millis): number {
    return this.#count * Math.exp((this.#at - now) / this.#decayMs);
  }
}
