/**
 * The simulator's own time: faster or slower than the real one, and cheap for thousands of streams, because all of them
 * share one real timer.
 */
import type { Clock, Millis, Timer } from '../core/types.ts';

/** A clock that runs `speed` times as fast as `clock`. */
export function scaledClock(clock: Clock, speed: number): Clock {
  const start = clock.now();
  return {
    now: () => (clock.now() - start) * speed,
    after: (delayMs, run) => clock.after(delayMs / speed, run),
  };
}

interface Entry {
  readonly at: Millis;
  readonly order: number;
  run: (() => void) | null;
}

/**
 * A clock whose timers share a single timer of `clock`. Timers that are due within the same `granularityMs` run in one
 * go, in order of their time; none runs early, and each keeps its own due time, so that a chain of timers that aims at
 * absolute times does not drift.
 */
export function batchedClock(clock: Clock, granularityMs: Millis): Clock & { stop(): void } {
  const heap: Entry[] = [];
  let order = 0;
  let armedFor = Number.POSITIVE_INFINITY;
  let timer: Timer | null = null;
  let stopped = false;

  function arm(): void {
    const next = heap[0];
    if (stopped || next === undefined) return;
    const at = Math.ceil(next.at / granularityMs) * granularityMs;
    if (at >= armedFor) return;
    timer?.cancel();
    armedFor = at;
    timer = clock.after(at - clock.now(), fire);
  }

  function fire(): void {
    armedFor = Number.POSITIVE_INFINITY;
    timer = null;
    const now = clock.now();
    for (let next = heap[0]; next !== undefined && next.at <= now; next = heap[0]) {
      pop(heap);
      next.run?.();
    }
    arm();
  }

  return {
    now: () => clock.now(),
    after(delayMs, run) {
      const entry: Entry = { at: clock.now() + Math.max(0, delayMs), order: order++, run };
      push(heap, entry);
      arm();
      return {
        cancel: () => {
          entry.run = null;
        },
      };
    },
    stop() {
      stopped = true;
      timer?.cancel();
      heap.length = 0;
    },
  };
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function push(heap: Entry[], entry: Entry): void {
  let i = heap.push(entry) - 1;
  while (i > 0) {
    const parent = (i - 1) >> 1;
    if (!before(entry, heap[parent]!)) break;
    heap[i] = heap[parent]!;
    i = parent;
  }
  heap[i] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let i = 0;
  for (;;) {
    let child = 2 * i + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
    if (!before(heap[child]!, last)) break;
    heap[i] = heap[child]!;
    i = child;
  }
  heap[i] = last;
}
