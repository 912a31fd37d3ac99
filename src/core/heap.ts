/** What comes first, of things that have an order: a binary heap that can also give up, or move, any member in logarithmic time. */
export class Heap<T> {
  readonly #heap: T[] = [];
  readonly #positions = new Map<T, number>();
  readonly #precedes: (a: T, b: T) => boolean;

  /** Whoever's place in the order changes has to be told of with `moved`. */
  constructor(precedes: (a: T, b: T) => boolean) {
    this.#precedes = precedes;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Undefined when there is none. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  /** In no particular order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#heap.values();
  }

  has(item: T): boolean {
    return this.#positions.has(item);
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
    this.#settle(last, position);
    return true;
  }

  /** A member comes earlier or later than before. */
  moved(item: T): void {
    const position = this.#positions.get(item);
    if (position !== undefined) this.#settle(item, position);
  }

  /** At most two, neither of which precedes the member; by way of them and theirs, all others but the first are found. */
  below(item: T): readonly T[] {
    const left = 2 * this.#positions.get(item)! + 1;
    return this.#heap.slice(left, left + 2);
  }

  #settle(item: T, position: number): void {
    this.#rise(position);
    this.#sink(this.#positions.get(item)!);
  }

  #rise(from: number): void {
    let position = from;
    const item = this.#heap[position]!;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      const above = this.#heap[parent]!;
      if (!this.#precedes(item, above)) break;
      this.#put(above, position);
      position = parent;
    }
    this.#put(item, position);
  }

  #sink(from: number): void {
    let position = from;
    const item = this.#heap[position]!;
    for (;;) {
      const child = this.#earlierChild(position);
      if (child === null || !this.#precedes(this.#heap[child]!, item)) break;
      this.#put(this.#heap[child]!, position);
      position = child;
    }
    this.#put(item, position);
  }

  #earlierChild(position: number): number | null {
    const left = 2 * position + 1;
    if (left >= this.#heap.length) return null;
    const right = left + 1;
    if (right >= this.#heap.length) return left;
    return this.#precedes(this.#heap[right]!, this.#heap[left]!) ? right : left;
  }

  #put(item: T, position: number): void {
    this.#heap[position] = item;
    this.#positions.set(item, position);
  }
}
