/** Checks one streamed answer byte for byte while it arrives, in pieces of any size. */
import { CHUNKS_PER_STREAM, LINE_BYTES, lastLine, readStamp } from './script.ts';

export class StreamCheck {
  /** Lines that have arrived whole and as they were sent. */
  lines = 0;
  /** What was wrong first; null while everything is as it was sent. */
  fault: string | null = null;
  readonly #onLine: (stampMicros: number) => void;
  readonly #partial = Buffer.allocUnsafe(Math.max(LINE_BYTES, lastLine.length));
  #held = 0;
  #lastStamp = 0;

  /** `onLine` is called with the time of sending of every line but the last. */
  constructor(onLine: (stampMicros: number) => void) {
    this.#onLine = onLine;
  }

  /** Whether the whole answer has arrived. */
  get complete(): boolean {
    return this.fault === null && this.lines === CHUNKS_PER_STREAM && this.#held === 0;
  }

  reset(): void {
    this.lines = 0;
    this.fault = null;
    this.#held = 0;
    this.#lastStamp = 0;
  }

  push(bytes: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to && this.fault === null) {
      const length = this.lines === CHUNKS_PER_STREAM - 1 ? lastLine.length : LINE_BYTES;
      if (this.#held === 0 && to - at >= length) {
        this.#line(bytes, at);
        at += length;
        continue;
      }
      const taken = Math.min(length - this.#held, to - at);
      bytes.copy(this.#partial, this.#held, at, at + taken);
      this.#held += taken;
      at += taken;
      if (this.#held === length) {
        this.#held = 0;
        this.#line(this.#partial, 0);
      }
    }
  }

  #line(bytes: Buffer, at: number): void {
    if (this.lines >= CHUNKS_PER_STREAM) {
      this.fault = 'bytes after the last line';
      return;
    }
    if (this.lines === CHUNKS_PER_STREAM - 1) {
      if (bytes.compare(lastLine, 0, lastLine.length, at, at + lastLine.length) !== 0) {
        this.fault = 'a changed last line';
        return;
      }
    } else {
      const stamp = readStamp(bytes, at);
      if (stamp === -1 || stamp < this.#lastStamp) {
        this.fault = stamp === -1 ? 'a changed line' : 'lines out of order';
        return;
      }
      this.#lastStamp = stamp;
      this.#onLine(stamp);
    }
    this.lines++;
  }
}
