/**
 * Just enough HTTP/1.1 to read what a peer sends on loopback, at the lowest cost that is still correct: heads, sized
 * bodies and chunked bodies, split anywhere. Both the generator and the mock backend read with it.
 */

/** Told what a reader found, in order: one `head`, any number of `body` pieces, one `end`; then the next message. */
export interface MessageSink {
  /** The start line and the fields, without the blank line. */
  head(text: string): void;
  /** Decoded body bytes `[from, to)` of `bytes`; never empty. Valid only during the call. */
  body(bytes: Buffer, from: number, to: number): void;
  end(): void;
}

type State = 'head' | 'sized' | 'chunk-size' | 'chunk-extension' | 'chunk-body' | 'chunk-end' | 'trailer';

const CR = 13;
const LF = 10;
const SEMICOLON = 59;
/** A head larger than this is no head of ours. */
const MAX_HEAD_BYTES = 64 * 1024;

/** Reads the messages of one direction of one connection. A message without framing fields has no body. */
export class MessageReader {
  readonly #sink: MessageSink;
  #state: State = 'head';
  #left = 0;
  #lineLength = 0;
  #carry: Buffer | null = null;

  constructor(sink: MessageSink) {
    this.#sink = sink;
  }

  /** Whether the connection may close here without a message being cut short. */
  get betweenMessages(): boolean {
    return this.#state === 'head' && this.#carry === null;
  }

  /** Throws an Error when the bytes are not HTTP. */
  push(incoming: Buffer): void {
    let bytes = incoming;
    if (this.#carry !== null) {
      bytes = Buffer.concat([this.#carry, incoming]);
      this.#carry = null;
    }
    let at = 0;
    while (at < bytes.length) {
      at = this.#step(bytes, at);
    }
  }

  #step(bytes: Buffer, at: number): number {
    const state = this.#state;
    switch (state) {
      case 'head':
        return this.#readHead(bytes, at);
      case 'sized':
      case 'chunk-body':
        return this.#readBody(bytes, at);
      case 'chunk-size':
      case 'chunk-extension':
        return this.#readChunkSize(bytes, at);
      case 'trailer':
        return this.#readTrailer(bytes, at);
      case 'chunk-end':
        if (bytes[at] === LF) this.#state = 'chunk-size';
        return at + 1;
      default:
        return state satisfies never;
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    const end = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (end === -1) {
      if (bytes.length - at > MAX_HEAD_BYTES) throw new Error('a head without an end');
      this.#carry = Buffer.from(bytes.subarray(at));
      return bytes.length;
    }
    const text = bytes.toString('latin1', at, end);
    const framing = framingOf(text);
    this.#sink.head(text);
    if (framing === 'chunked') {
      this.#state = 'chunk-size';
      this.#left = 0;
    } else if (framing > 0) {
      this.#state = 'sized';
      this.#left = framing;
    } else {
      this.#sink.end();
    }
    return end + 4;
  }

  #readBody(bytes: Buffer, at: number): number {
    const to = Math.min(bytes.length, at + this.#left);
    this.#sink.body(bytes, at, to);
    this.#left -= to - at;
    if (this.#left === 0) {
      if (this.#state === 'chunk-body') {
        this.#state = 'chunk-end';
      } else {
        this.#state = 'head';
        this.#sink.end();
      }
    }
    return to;
  }

  #readChunkSize(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === LF) {
        this.#state = this.#left === 0 ? 'trailer' : 'chunk-body';
        this.#lineLength = 0;
        return at + 1;
      }
      if (byte === SEMICOLON) this.#state = 'chunk-extension';
      if (this.#state === 'chunk-extension' || byte === CR) continue;
      const digit = hexDigit(byte);
      if (digit === -1) throw new Error('a chunk size that is not a number');
      this.#left = this.#left * 16 + digit;
    }
    return bytes.length;
  }

  #readTrailer(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === LF) {
        if (this.#lineLength === 0) {
          this.#state = 'head';
          this.#sink.end();
          return at + 1;
        }
        this.#lineLength = 0;
      } else if (byte !== CR) {
        this.#lineLength++;
      }
    }
    return bytes.length;
  }
}

/** The status of a response head; 0 when it is none. */
export function statusOf(head: string): number {
  return head.startsWith('HTTP/1.') ? Number(head.slice(9, 12)) : 0;
}

/** One chunk of a chunked body, framed. */
export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** The length of the body in bytes, or `chunked`. Throws when the head states a length that is not a number. */
function framingOf(head: string): number | 'chunked' {
  const lower = head.toLowerCase();
  if (lower.includes('\r\ntransfer-encoding: chunked')) return 'chunked';
  const field = lower.indexOf('\r\ncontent-length:');
  if (field === -1) return 0;
  const end = lower.indexOf('\r\n', field + 2);
  const length = Number(lower.slice(field + 17, end === -1 ? lower.length : end));
  if (!Number.isInteger(length)) throw new Error('a content-length that is not a number');
  return length;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
