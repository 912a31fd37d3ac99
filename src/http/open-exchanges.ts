/**
 * The exchanges that have not closed yet, and one flush for all of them at the end of each turn of the event loop.
 *
 * A list in which each member knows its place, not a Set: a Set that is added to and deleted from all the time leaves its old
 * tables behind, and these kept whole requests alive until the next full garbage collection (docs/benchmarks.md).
 */
export interface Member {
  /** Where it stands in the list; nobody else's business. */
  place: number;
}

export class OpenExchanges<M extends Member> implements Iterable<M> {
  readonly #members: M[] = [];

  add(member: M): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** The last takes its place. */
  delete(member: M): void {
    if (this.#members[member.place] !== member) return;
    const last = this.#members.pop()!;
    if (last === member) return;
    this.#members[member.place] = last;
    last.place = member.place;
  }

  /** Those open now, whatever happens to them meanwhile. */
  [Symbol.iterator](): Iterator<M> {
    return [...this.#members][Symbol.iterator]();
  }
}

/**
 * Calls back all who asked within a turn of the event loop together, before the loop waits again. Writes that are spread over a
 * turn wake their readers one by one; together they cost a third.
 */
export class TurnEnd {
  #due: (() => void)[] = [];

  call(run: () => void): void {
    if (this.#due.length === 0) setImmediate(() => this.#end());
    this.#due.push(run);
  }

  #end(): void {
    const due = this.#due;
    this.#due = [];
    for (const run of due) run();
  }
}
