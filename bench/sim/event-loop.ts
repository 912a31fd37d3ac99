/** Virtual time: a clock whose timers run, in order of time and then of creation, as fast as the machine can. */
import type { Clock, Millis, Timer } from '../../src/core/types.ts';

interface Entry {
  readonly at: Millis;
  readonly order: number;
  run: (() => void) | null;
}

export class EventLoop implements Clock {
  /** A binary heap; cancelled entries stay until they come up. */
  readonly #heap: Entry[] = [];
  #now: Millis = 0;
  #order = 0;
  #pending = 0;

  now(): Millis {
    return this.#now;
  }

  after(delayMs: Millis, run: () => void): Timer {
    const entry: Entry = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#heap.push(entry);
    this.#rise(this.#heap.length - 1);
    return {
      cancel: () => {
        entry.run = null;
      },
    };
  }

  /** Time stands still until the promise is settled, and everything that waited for it has run. */
  waitFor(promise: Promise<void>): void {
    this.#pending += 1;
    const settled = (): void => {
      this.#pending -= 1;
    };
    promise.then(settled, settled);
  }

  /** As `runUntil`, for routers that answer with promises: what is ready to run has run before time goes on. */
  async runUntilSettled(until: Millis): Promise<void> {
    for (let first = this.#heap[0]; first !== undefined && first.at <= until; first = this.#heap[0]) {
      this.#runFirst(first);
      if (this.#pending > 0) await turn();
    }
    this.#now = Math.max(this.#now, until);
  }

  /** Runs everything due up to and including `until`, then stands there. */
  runUntil(until: Millis): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= until; first = this.#heap[0]) {
      this.#runFirst(first);
    }
    this.#now = Math.max(this.#now, until);
  }

  #runFirst(first: Entry): void {
    this.#removeFirst();
    const { run } = first;
    if (run === null) return;
    this.#now = first.at;
    first.run = null;
    run();
  }

  #rise(from: number): void {
    const heap = this.#heap;
    for (let index = from; index > 0; ) {
      const parent = (index - 1) >> 1;
      if (!before(heap[index]!, heap[parent]!)) return;
      [heap[index], heap[parent]] = [heap[parent]!, heap[index]!];
      index = parent;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let index = 0; ; ) {
      const left = 2 * index + 1;
      if (left >= heap.length) return;
      const right = left + 1;
      const child = right < heap.length && before(heap[right]!, heap[left]!) ? right : left;
      if (!before(heap[child]!, heap[index]!)) return;
      [heap[index], heap[child]] = [heap[child]!, heap[index]!];
      index = child;
    }
  }
}

/** Resolves when every promise reaction that is due has run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function before(a: Entry, b: Entry): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
