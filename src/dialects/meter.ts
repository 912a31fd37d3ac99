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

/** What is left of an answer when it has gone by. */
export interface Remains {
  /** The bytes in all. */
  readonly length: number;
  /** The last bytes, as text; the whole answer when `isWhole`. */
  readonly tail: string;
  readonly isWhole: boolean;
  /** The beginning of the answer, and of its last line that is not blank. */
  readonly head: string;
  readonly lineHead: string;
  /** Line ends in all. */
  readonly newlines: number;
}

class StreamMeter implements Meter {
  readonly #family: Family;
  /** The last bytes, at least WINDOW_BYTES of them when there were as many. */
  readonly #window = Buffer.allocUnsafe(2 * WINDOW_BYTES);
  #used = 0;
  #length = 0;
  #newlines = 0;
  readonly #head = new Head();
  /** Heads of the line being received and of the last one that was not blank. */
  #line = new Head();
  #lastLine = new Head();

  constructor(family: Family) {
    this.#family = family;
  }

  push(chunk: Uint8Array): void {
    const { length } = chunk;
    if (length === 0) {
      return;
    }
    this.#head.add(chunk, 0, length);
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#newlines++;
      this.#line.add(chunk, start, end);
      this.#endLine();
      start = end + 1;
    }
    this.#line.add(chunk, start, length);
    this.#length += length;
    this.#keep(chunk);
  }

  finish(): MeterReport {
    const remains = this.#remains();
    const { ending, errorText } = this.#family.ending(remains);
    const stated = this.#family.usage(remains);
    const estimated = stated.outputTokens === undefined && this.#family.countsOutput;
    const usage: Usage = estimated
      ? { ...stated, outputTokens: this.#family.framesOf(remains.newlines, ending) }
      : stated;
    return { ending, errorText, usage, estimated };
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

  #endLine(): void {
    if (!this.#line.isBlank) {
      const spare = this.#lastLine;
      this.#lastLine = this.#line;
      this.#line = spare;
    }
    this.#line.clear();
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

  #remains(): Remains {
    const from = Math.max(0, this.#used - WINDOW_BYTES);
    const line = this.#line.isBlank ? this.#lastLine : this.#line;
    return {
      length: this.#length,
      tail: this.#window.toString('utf8', from, this.#used),
      isWhole: this.#length <= WINDOW_BYTES,
      head: this.#head.text,
      lineHead: line.text,
      newlines: this.#newlines,
    };
  }
}

/** The first bytes of a line. */
class Head {
  readonly #bytes = Buffer.allocUnsafe(HEAD_BYTES);
  #used = 0;
  #blank = true;

  get isBlank(): boolean {
    return this.#blank;
  }

  get text(): string {
    return this.#bytes.toString('utf8', 0, this.#used);
  }

  add(chunk: Uint8Array, start: number, end: number): void {
    for (let i = start; i < end && this.#used < HEAD_BYTES; i++) {
      const byte = chunk[i]!;
      this.#blank &&= byte === RETURN || byte === 0x20;
      this.#bytes[this.#used++] = byte;
    }
  }

  clear(): void {
    this.#used = 0;
    this.#blank = true;
  }
}
