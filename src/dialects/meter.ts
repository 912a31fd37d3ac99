/**
 * Watches an answer go by. A chunk costs a search for newlines and a copy of its bytes into a small window; nothing is
 * decoded before the end, when the window holds the last frames and the head of the last line is known. That is enough:
 * every family puts its terminal marker and its figures last, and inside JSON a quote that is not escaped is never text.
 */
import type { Usage } from '../core/types.ts';
import type { Meter, MeterReport, Reading, Route } from './dialect.ts';
import { families, type Family } from './meter-families.ts';

const NEWLINE = 0x0a;
const RETURN = 0x0d;

const WINDOW_BYTES = 2_048;
const HEAD_BYTES = 256;

export function createMeter(route: Route, _reading: Reading, contentType: string): Meter {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  switch (type) {
    case 'application/x-ndjson':
      return new StreamMeter(route.kind === 'manage' ? families.progress : families.ndjson);
    case 'text/event-stream':
      return new StreamMeter(families[route.dialect === 'ollama' ? 'openai' : route.dialect]);
    case 'application/json':
      return new StreamMeter(families.json);
    default:
      return new StreamMeter(families.opaque);
  }
}

/** What is known of an answer when it has gone by. The same answer leaves the same, however it was cut into chunks. */
export interface Remains {
  /** The last bytes, as text; the whole answer when `isWhole`. */
  readonly tail: string;
  readonly isWhole: boolean;
  /** The first bytes of the answer. */
  readonly head: string;
  /** The first bytes of its last line that is not blank. */
  readonly lineHead: string;
  /** Line ends in all. */
  readonly newlines: number;
}

const none = Buffer.alloc(0);

/**
 * A stream may last for hours, so what it keeps is memory of its own, in one piece: a few bytes out of Node's pool would keep
 * the pool's whole block. What comes in one small piece is over at once and may come from there.
 */
class StreamMeter implements Meter {
  readonly #family: Family;
  /** The last bytes, at least WINDOW_BYTES of them when there were as many. */
  #window = none;
  /** The first bytes; empty for as long as they are still those of the window. */
  #head = none;
  #used = 0;
  /** Bytes in all; offsets below count from the answer's beginning. */
  #length = 0;
  #newlines = 0;
  /** Where the line being received begins, and the last one before it that is not blank. */
  #line = 0;
  #lastLine = 0;
  /** The head of a line whose beginning has left the window, and where that line began. */
  #lostHead = none;
  #lostHeadBytes = 0;
  #lostLine = -1;

  constructor(family: Family) {
    this.#family = family;
  }

  push(chunk: Uint8Array): void {
    const start = this.#length;
    const end = start + chunk.length;
    this.#makeRoom(chunk.length);
    if (start < HEAD_BYTES && this.#head.length > 0) {
      this.#head.set(chunk.subarray(0, HEAD_BYTES - start), start);
    }
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) {
      this.#newlines++;
      const isBlank = start + at - this.#line <= 1 && this.#isBlank(chunk, at);
      this.#lastLine = isBlank ? this.#lastLine : this.#line;
      this.#line = start + at + 1;
    }
    const wanted = this.#line < end ? this.#line : this.#lastLine;
    if (wanted < end - WINDOW_BYTES && wanted !== this.#lostLine) {
      this.#keepHead(chunk, wanted);
    }
    this.#keep(chunk);
    this.#length = end;
  }

  finish(): MeterReport {
    const remains = this.#remains();
    const { ending, errorText } = this.#family.ending(remains);
    const stated = this.#family.usage(remains);
    const estimated = stated.outputTokens === undefined && this.#family.countsOutput;
    const usage: Usage = estimated
      ? { ...stated, outputTokens: this.#family.framesOf(remains.newlines, ending) }
      : stated;
    const events = this.#family.events?.(remains);
    return { ending, errorText, usage, estimated, ...(events !== undefined && { events }) };
  }

  outputSoFar(): number {
    return this.#family.countsOutput ? this.#family.framesOf(this.#newlines, 'missing') : 0;
  }

  separator(): '' | '\n' | '\n\n' {
    if (this.#length === 0 || this.#family.frameEnd === '') {
      return '';
    }
    const last = this.#window.toString('latin1', Math.max(0, this.#used - 4), this.#used).replaceAll('\r', '');
    if (this.#family.frameEnd === '\n') {
      return last.endsWith('\n') ? '' : '\n';
    }
    return last.endsWith('\n\n') ? '' : last.endsWith('\n') ? '\n' : '\n\n';
  }

  /** Whether a line of at most one byte that ends at `at` is blank: nothing, or the `\r` of a `\r\n`. */
  #isBlank(chunk: Uint8Array, at: number): boolean {
    if (this.#length + at === this.#line) {
      return true;
    }
    return (at === 0 ? this.#window[this.#used - 1] : chunk[at - 1]) === RETURN;
  }

  /** Keeps the head of the line that begins at `line`, before the window or `chunk` passes it by. */
  #keepHead(chunk: Uint8Array, line: number): void {
    const inWindow = this.#used - (this.#length - line);
    const kept =
      line < this.#length
        ? this.#window.copy(this.#lostHead, 0, inWindow, Math.min(this.#used, inWindow + HEAD_BYTES))
        : 0;
    const from = Math.max(0, line - this.#length);
    const rest = chunk.subarray(from, from + HEAD_BYTES - kept);
    this.#lostHead.set(rest, kept);
    this.#lostHeadBytes = kept + rest.length;
    this.#lostLine = line;
  }

  #keep(chunk: Uint8Array): void {
    if (chunk.length >= WINDOW_BYTES) {
      this.#window.set(chunk.subarray(chunk.length - WINDOW_BYTES), 0);
      this.#used = WINDOW_BYTES;
      return;
    }
    if (this.#used + chunk.length > this.#window.length) {
      this.#window.copyWithin(0, this.#used - WINDOW_BYTES, this.#used);
      this.#used = WINDOW_BYTES;
    }
    this.#window.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  /** Most answers that are no stream come in one small piece, and never need the whole window. */
  #makeRoom(bytes: number): void {
    if (this.#head.length > 0 || this.#used + bytes <= this.#window.length) return;
    if (this.#length === 0 && bytes < WINDOW_BYTES) {
      this.#window = Buffer.allocUnsafe(bytes);
      return;
    }
    const memory = Buffer.allocUnsafeSlow(2 * WINDOW_BYTES + 2 * HEAD_BYTES);
    const window = memory.subarray(0, 2 * WINDOW_BYTES);
    this.#head = memory.subarray(2 * WINDOW_BYTES, 2 * WINDOW_BYTES + HEAD_BYTES);
    this.#lostHead = memory.subarray(2 * WINDOW_BYTES + HEAD_BYTES);
    this.#window.copy(window, 0, 0, this.#used);
    this.#window.copy(this.#head, 0, 0, Math.min(this.#used, HEAD_BYTES));
    this.#window = window;
  }

  #remains(): Remains {
    const from = Math.max(0, this.#used - WINDOW_BYTES);
    const wanted = this.#line < this.#length ? this.#line : this.#lastLine;
    const inWindow = this.#used - (this.#length - wanted);
    const lineHead =
      wanted === this.#lostLine
        ? this.#lostHead.subarray(0, this.#lostHeadBytes)
        : this.#window.subarray(inWindow, Math.min(this.#used, inWindow + HEAD_BYTES));
    return {
      tail: this.#window.toString('utf8', from, this.#used),
      isWhole: this.#length <= WINDOW_BYTES,
      head: (this.#head.length > 0 ? this.#head : this.#window).toString('utf8', 0, Math.min(this.#length, HEAD_BYTES)),
      lineHead: lineHead.toString('utf8').replace(/\s+$/, ''),
      newlines: this.#newlines,
    };
  }
}
