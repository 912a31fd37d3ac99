/**
 * Bytes a slow client has not taken yet, copied into blocks of our own: the pieces a backend sends are views on larger read
 * buffers, and keeping a hundred small views would keep a hundred large buffers.
 */

/** Shared by all exchanges of a listener. */
export interface BacklogBudget {
  /** Bytes held by all backlogs together, and in the queues before them. */
  used: number;
  readonly limit: number;
}

const firstBlockBytes = 2 * 1024;
const largestBlockBytes = 32 * 1024;

export class Backlog {
  size = 0;
  readonly #budget: BacklogBudget;
  /** Filled from `#from` of the first to `#to` of the last. */
  readonly #blocks: Buffer[] = [];
  #from = 0;
  #to = 0;
  #queued = 0;

  constructor(budget: BacklogBudget) {
    this.#budget = budget;
  }

  /** Bytes handed to the connection that it could not send yet. They are on the budget, and not in `size`. */
  set queued(bytes: number) {
    this.#budget.used += bytes - this.#queued;
    this.#queued = bytes;
  }

  push(bytes: Uint8Array): void {
    this.size += bytes.length;
    this.#budget.used += bytes.length;
    let done = 0;
    while (done < bytes.length) {
      let block = this.#blocks.at(-1);
      if (block === undefined || this.#to === block.length) {
        block = Buffer.allocUnsafeSlow(this.#nextBlock(block, bytes.length - done));
        this.#blocks.push(block);
        this.#to = 0;
      }
      const count = Math.min(bytes.length - done, block.length - this.#to);
      block.set(bytes.subarray(done, done + count), this.#to);
      this.#to += count;
      done += count;
    }
  }

  /** When all together have reached their limit, this piece is the last for now. */
  #nextBlock(last: Buffer | undefined, wanted: number): number {
    if (this.isShort) return Math.min(largestBlockBytes, wanted);
    return last === undefined ? firstBlockBytes : Math.min(largestBlockBytes, last.length * 2);
  }

  /** The oldest bytes, at most `limit` of them; empty when there are none. */
  take(limit: number): Buffer {
    const block = this.#blocks[0];
    if (block === undefined) return Buffer.alloc(0);
    const end = this.#blocks.length === 1 ? this.#to : block.length;
    const piece = block.subarray(this.#from, Math.min(end, this.#from + limit));
    this.#from += piece.length;
    if (this.#from === end) {
      this.#blocks.shift();
      this.#from = 0;
      if (this.#blocks.length === 0) this.#to = 0;
    }
    this.#settle(piece.length);
    return piece;
  }

  clear(): void {
    this.queued = 0;
    this.#settle(this.size);
    this.#blocks.length = 0;
    this.#from = 0;
    this.#to = 0;
  }

  /** Whether all backlogs together have reached their limit, so that every byte more is one too many. */
  get isShort(): boolean {
    return this.#budget.used >= this.#budget.limit;
  }

  /** Whether no more should be asked for: this backlog, or all of them together, have reached their limit. */
  isFull(limit: number): boolean {
    return this.size >= limit || (this.size > 0 && this.isShort);
  }

  #settle(bytes: number): void {
    this.size -= bytes;
    this.#budget.used -= bytes;
  }
}
