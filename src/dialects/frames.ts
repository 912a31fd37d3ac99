/**
 * Cuts a stream of bytes into frames as they arrive: lines of NDJSON, events of SSE. Memory is bounded: of a frame longer than
 * `maxBytes` the beginning is kept and the rest is dropped.
 */

export interface Frame {
  /** The frame's bytes with their line ends, or the first `maxBytes` of them. */
  readonly bytes: Buffer;
  /** True when the frame was longer than `maxBytes`. */
  readonly truncated: boolean;
}

export interface FrameSplitter {
  /** The frames that `chunk` completes, in order. They are copies: the caller may reuse the chunk. */
  push(chunk: Uint8Array): readonly Frame[];
  /** What was begun and not completed; null when nothing was. */
  rest(): Frame | null;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Frames end after each newline. */
export function createLineSplitter(maxBytes: number): FrameSplitter {
  return new Splitter(maxBytes, (line) => line.length > 0);
}

/** Frames end after each blank line, as a blank line ends an SSE event; `\n` and `\r\n` both end lines. */
export function createSseSplitter(maxBytes: number): FrameSplitter {
  return new Splitter(maxBytes, isBlank);
}

/** One SSE event taken apart. Comments are left out; several `data` lines are joined, as the standard says. */
export interface SseEvent {
  readonly event: string | null;
  readonly data: string | null;
}

export function parseSseEvent(bytes: Uint8Array): SseEvent {
  let event: string | null = null;
  const data: string[] = [];
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'event') {
      event = value;
    } else if (name === 'data') {
      data.push(value);
    }
  }
  return { event, data: data.length === 0 ? null : data.join('\n') };
}

class Splitter implements FrameSplitter {
  readonly #maxBytes: number;
  /** Whether a line (with its end) is the last one of a frame. */
  readonly #endsFrame: (line: Line) => boolean;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #lineBytes = 0;
  #lineIsBlank = true;
  #truncated = false;

  constructor(maxBytes: number, endsFrame: (line: Line) => boolean) {
    this.#maxBytes = maxBytes;
    this.#endsFrame = endsFrame;
  }

  push(chunk: Uint8Array): readonly Frame[] {
    const frames: Frame[] = [];
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, end + 1)) {
      const lineStart = Math.max(from, chunk.lastIndexOf(NEWLINE, end - 1) + 1);
      this.#lookAt(chunk, end === 0 ? 0 : lineStart, end + 1);
      if (this.#endsFrame({ length: this.#lineBytes, blank: this.#lineIsBlank })) {
        this.#hold(chunk, from, end + 1);
        frames.push(this.#take());
        from = end + 1;
      }
      this.#lineBytes = 0;
      this.#lineIsBlank = true;
    }
    const lastLine = Math.max(from, chunk.lastIndexOf(NEWLINE) + 1);
    this.#lookAt(chunk, lastLine, chunk.length);
    this.#hold(chunk, from, chunk.length);
    return frames;
  }

  rest(): Frame | null {
    return this.#heldBytes === 0 && !this.#truncated ? null : this.#take();
  }

  #lookAt(chunk: Uint8Array, start: number, end: number): void {
    this.#lineBytes += end - start;
    for (let i = start; i < end && this.#lineIsBlank; i++) {
      this.#lineIsBlank = chunk[i] === NEWLINE || chunk[i] === RETURN;
    }
  }

  #hold(chunk: Uint8Array, start: number, end: number): void {
    const room = this.#maxBytes - this.#heldBytes;
    const keep = Math.min(end - start, room);
    this.#truncated ||= keep < end - start;
    if (keep > 0) {
      this.#held.push(Buffer.from(chunk.subarray(start, start + keep)));
      this.#heldBytes += keep;
    }
  }

  #take(): Frame {
    const frame = { bytes: Buffer.concat(this.#held), truncated: this.#truncated };
    this.#held = [];
    this.#heldBytes = 0;
    this.#truncated = false;
    return frame;
  }
}

interface Line {
  readonly length: number;
  readonly blank: boolean;
}

function isBlank(line: Line): boolean {
  return line.blank;
}
