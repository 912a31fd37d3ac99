/** The real world as a value: clock, luck, environment. Tests hand in their own. */
import { performance } from 'node:perf_hooks';
import type { Clock, Rng } from './core/types.ts';

export interface System {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Wall clock in epoch milliseconds; for display and timestamps only, never for logic. */
  readonly wallNow: () => number;
}

export const realClock: Clock = {
  now: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.max(0, delayMs));
    return { cancel: () => clearTimeout(timer) };
  },
};

export const realSystem: System = {
  clock: realClock,
  rng: { next: () => Math.random() },
  wallNow: () => Date.now(),
};
