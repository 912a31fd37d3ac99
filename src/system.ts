/** The real world as a value: clock, luck, environment. Tests hand in their own. */
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { memoryUsage } from 'node:process';
import type { Clock, LoadSample, Rng } from './core/types.ts';

export interface System {
  readonly clock: Clock;
  readonly rng: Rng;
  /** Wall clock in epoch milliseconds; for display and timestamps only, never for logic. */
  readonly wallNow: () => number;
  /** Starts to measure how busy the process is; each call of the result tells of the time since the last. */
  readonly measureLoad: () => () => LoadSample;
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
  measureLoad,
};

const resolutionMs = 20;

function measureLoad(): () => LoadSample {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  return () => {
    // The histogram holds whole intervals between its ticks, the part that was meant included; it is NaN before the first.
    const loopDelayMs = Math.max(0, histogram.percentile(99) / 1e6 - resolutionMs) || 0;
    histogram.reset();
    return { loopDelayMs, memoryBytes: memoryUsage.rss() };
  };
}
