/** Time that passes only when a test says so. Timers fire in order of their due time, then of their making. */
import type { Clock, Millis, Timer } from '../../src/core/types.ts';

export interface VirtualClock extends Clock {
  /** Lets `byMs` pass; after each timer, and at the end, everything that was waiting for a promise has run. */
  advance(byMs: Millis): Promise<void>;
  /** As `advance`, without letting promises run in between; for synchronous models. */
  tick(byMs: Millis): void;
  /** Timers that are set and have neither fired nor been cancelled. */
  readonly pendingTimers: number;
  /** How many timers were ever set. */
  readonly timersSet: number;
}

export function virtualClock(startMs: Millis = 0): VirtualClock {
  let now = startMs;
  let made = 0;
  const timers = new Map<number, { readonly dueAt: Millis; readonly run: () => void }>();

  function fireNext(untilMs: Millis): boolean {
    let next: { id: number; dueAt: Millis; run: () => void } | null = null;
    for (const [id, timer] of timers) {
      if (timer.dueAt <= untilMs && (next === null || timer.dueAt < next.dueAt)) next = { id, ...timer };
    }
    if (next === null) return false;
    timers.delete(next.id);
    now = Math.max(now, next.dueAt);
    next.run();
    return true;
  }

  return {
    now: () => now,
    after(delayMs, run): Timer {
      const id = made++;
      timers.set(id, { dueAt: now + Math.max(0, delayMs), run });
      return { cancel: () => void timers.delete(id) };
    },
    async advance(byMs) {
      const untilMs = now + byMs;
      await settled();
      while (fireNext(untilMs)) await settled();
      now = untilMs;
    },
    tick(byMs) {
      const untilMs = now + byMs;
      while (fireNext(untilMs)) continue;
      now = untilMs;
    },
    get pendingTimers() {
      return timers.size;
    },
    get timersSet() {
      return made;
    },
  };
}

/** Resolves when every promise reaction that was due has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
