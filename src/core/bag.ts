/**
 * Things that come and go with every request, in no order.
 *
 * A list in which each member knows its place, not a Set: a Set that is added to and deleted from all the time leaves its old
 * tables behind, and these kept whole requests alive until the next full garbage collection (docs/benchmarks.md).
 */
export interface Member {
  /** Where it stands in the bag; nobody else's business. One that stands in no bag yet may have any. */
  place: number;
}

export class Bag<M extends Member> implements Iterable<M> {
  readonly #members: M[] = [];

  get size(): number {
    return this.#members.length;
  }

  add(member: M): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** The last takes its place. False when it is not among them. */
  delete(member: M): boolean {
    if (this.#members[member.place] !== member) return false;
    const last = this.#members.pop()!;
    if (last === member) return true;
    this.#members[member.place] = last;
    last.place = member.place;
    return true;
  }

  /** Those in it now, whatever happens to them meanwhile. */
  [Symbol.iterator](): Iterator<M> {
    return [...this.#members][Symbol.iterator]();
  }
}
