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

  /** Runs everything due up to and including `until`, then stands there. */
  runUntil(until: Millis): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= until; first = this.#heap[0]) {
      this.#removeFirst();
      const { run } = first;
      if (run === null) continue;
      this.#now = first.at;
      first.run = null;
      run();
    }
    this.#now = Math.max(this.#now, until);
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

function before(a: Entry, b: Entry): boolean {
  return a.at === b.at ? a.order < b.order : a.at < b.at;
}
