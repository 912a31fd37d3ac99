/**
 * What the client of a stream has been told so far: the text, and what the frames around it said. Lines are handed on whole, so
 * that a stream that is lost in the middle of one can go on with the next. Memory is bounded by the text that may be kept.
 */
import type { Route } from '../dialect.ts';

export type Json = Readonly<Record<string, unknown>>;

/** Where a stream that was lost has to go on. */
export interface Told {
  /** All content, as the client has it. */
  readonly text: string;
  /** Frames that brought text: about one a token, and never more than there were tokens. */
  readonly tokens: number;
  /** The first frame, whose id, time and model the others share; null when there was none. */
  readonly first: Json | null;
  /** What must be written before a further frame. */
  readonly separator: '' | '\n';
}

export interface Transcript {
  /** The bytes to hand on: what `chunk` completes. */
  push(chunk: Uint8Array): Buffer;
  /** The line that was not complete when the stream ended. */
  flush(): Buffer;
  /** Null when the stream can't be gone on with: it has said what is no plain text, too much, or its last word. */
  told(): Told | null;
}

/** A line longer than this is handed on as it comes, and the stream can't be resumed; Ollama's are a few hundred bytes. */
const MAX_LINE_BYTES = 64 * 1024;

const NEWLINE = 0x0a;
const nothing = Buffer.alloc(0);

/** `maxText` in bytes. */
export function createTranscript(route: Route, maxText: number): Transcript {
  return new LineTranscript(route.dialect === 'openai' ? readSse : readNative, maxText);
}

class LineTranscript implements Transcript {
  readonly #read: (line: string) => Said | null;
  readonly #maxText: number;
  #held: Buffer = nothing;
  #texts: string[] = [];
  #bytes = 0;
  #tokens = 0;
  #first: Json | null = null;
  #endsFrame = true;
  /** From here on bytes pass unseen. */
  #isClosed = false;

  constructor(read: (line: string) => Said | null, maxText: number) {
    this.#read = read;
    this.#maxText = maxText;
  }

  push(chunk: Uint8Array): Buffer {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#isClosed) return bytes;
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const end = all.lastIndexOf(NEWLINE) + 1;
    for (let from = 0; from < end && !this.#isClosed; ) {
      const to = all.indexOf(NEWLINE, from) + 1;
      this.#line(all.toString('utf8', from, to).trimEnd());
      from = to;
    }
    if (all.length - end > MAX_LINE_BYTES) this.#close();
    if (this.#isClosed) {
      this.#held = nothing;
      return all;
    }
    // A copy: the rest of the chunk need not be kept for it.
    this.#held = Buffer.from(all.subarray(end));
    return all.subarray(0, end);
  }

  flush(): Buffer {
    const rest = this.#held;
    this.#held = nothing;
    return rest;
  }

  told(): Told | null {
    const text = this.#texts.join('');
    if (this.#isClosed || !text.isWellFormed()) return null;
    return { text, tokens: this.#tokens, first: this.#first, separator: this.#endsFrame ? '' : '\n' };
  }

  #line(line: string): void {
    if (line === '') {
      this.#endsFrame = true;
      return;
    }
    const said = this.#read(line);
    if (said === null) {
      this.#close();
      return;
    }
    this.#endsFrame = said.endsFrame;
    if (said.frame === null) return;
    this.#first ??= said.frame;
    if (said.text === '') return;
    this.#texts.push(said.text);
    this.#tokens += 1;
    this.#bytes += Buffer.byteLength(said.text);
    if (this.#bytes > this.#maxText) this.#close();
  }

  #close(): void {
    this.#isClosed = true;
    this.#texts = [];
  }
}

interface Said {
  /** Null for a comment. */
  readonly frame: Json | null;
  readonly text: string;
  /** Whether the line is a frame by itself, or the next line has to end it. */
  readonly endsFrame: boolean;
}

/** Null for what is no plain text. */
function readNative(line: string): Said | null {
  const frame = parsed(line);
  if (frame === null || frame['done'] !== false || frame['error'] !== undefined) return null;
  const message = frame['message'];
  const said = message === undefined ? frame : (message as Json | null);
  if (said === null || !isBlank(said['thinking']) || !isBlank(said['tool_calls'])) return null;
  const text = said[message === undefined ? 'response' : 'content'] ?? '';
  return typeof text === 'string' ? { frame, text, endsFrame: true } : null;
}

function readSse(line: string): Said | null {
  if (line.startsWith(':')) return { frame: null, text: '', endsFrame: false };
  const frame = line.startsWith('data:') ? parsed(line.slice('data:'.length)) : null;
  const choices = frame?.['choices'];
  if (frame === null || !Array.isArray(choices) || choices.length !== 1) return null;
  const { delta, finish_reason: finish, index } = choices[0] as Json;
  if (!isBlank(finish) || index !== 0 || typeof delta !== 'object' || delta === null) return null;
  const { content, role: _role, ...others } = delta as Json;
  if (!Object.values(others).every(isBlank)) return null;
  const text = content ?? '';
  return typeof text === 'string' ? { frame, text, endsFrame: false } : null;
}

export function parsed(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}

/** Whether Ollama takes the value for absent. */
export function isBlank(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false || value === 0) return true;
  return Array.isArray(value) && value.length === 0;
}
