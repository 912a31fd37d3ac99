/** Things with a deadline, the earliest first: a binary heap that can also give up any member in logarithmic time. */
import type { Millis } from './types.ts';

export interface Deadlined {
  readonly deadline: Millis;
}

export class Deadlines<T extends Deadlined> {
  readonly #heap: T[] = [];
  readonly #positions = new Map<T, number>();

  get size(): number {
    return this.#heap.length;
  }

  /** The member whose deadline comes first; undefined when there is none. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  add(item: T): void {
    this.#heap.push(item);
    this.#positions.set(item, this.#heap.length - 1);
    this.#rise(this.#heap.length - 1);
  }

  /** False when it is not a member. */
  remove(item: T): boolean {
    const position = this.#positions.get(item);
    if (position === undefined) return false;
    this.#positions.delete(item);
    const last = this.#heap.pop()!;
    if (last === item) return true;
    this.#put(last, position);
    this.#rise(position);
    this.#sink(this.#positions.get(last)!);
    return true;
  }

  #rise(from: number): void {
    let position = from;
    const item = this.#heap[position]!;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      const above = this.#heap[parent]!;
      if (above.deadline <= item.deadline) break;
      this.#put(above, position);
      position = parent;
    }
    this.#put(item, position);
  }

  #sink(from: number): void {
    let position = from;
    const item = this.#heap[position]!;
    for (;;) {
      const child = this.#smallerChild(position);
      if (child === null || this.#heap[child]!.deadline >= item.deadline) break;
      this.#put(this.#heap[child]!, position);
      position = child;
    }
    this.#put(item, position);
  }

  #smallerChild(position: number): number | null {
    const left = 2 * position + 1;
    if (left >= this.#heap.length) return null;
    const right = left + 1;
    if (right >= this.#heap.length) return left;
    return this.#heap[right]!.deadline < this.#heap[left]!.deadline ? right : left;
  }

  #put(item: T, position: number): void {
    this.#heap[position] = item;
    this.#positions.set(item, position);
  }
}
