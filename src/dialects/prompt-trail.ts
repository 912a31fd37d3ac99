/**
 * What of a prompt matters to routing: about how long it is, and at which message boundaries it could share a prefix with
 * an earlier one. Fed with the prompt's texts in order; hashes the first 4 KiB whole and samples of what follows, so that the
 * cost has a bound whatever the size. Two prompts that differ only between the samples look the same here, which costs a wrong
 * guess about a cache, never a wrong answer.
 */
import type { PrefixMark } from '../core/types.ts';
import type { BodyFields, Occurrence } from './body-fields.ts';
import { BOUNDARY_PIECE, MEDIA_PIECE } from './prompt-pieces.ts';

/** Characters hashed in full, from the prompt's start. */
const WHOLE = 4_096;
/** After those, of each text: its beginning, its end, and some stripes between. */
const HEAD = 128;
const TAIL = 64;
const STRIPES = 4;
const STRIPE = 16;
/** One long text is marked where it is this long, twice this long, and so on. */
const FIRST_BLOCK = 1_024;
const LAST_BLOCK = 65_536;
/** Ollama's own estimate of what an image takes. */
const IMAGE_TOKENS = 768;

/** Boundaries that are reported: the first ones are shared between conversations, the last ones within one. */
const FIRST_MARKS = 2;
const LAST_MARKS = 8;
/** Between those, some whose number is a multiple of this: where a conversation has gone on by many messages, they meet. */
const MARK_STEP = 8;
const STEP_MARKS = 2;

interface Boundary {
  readonly high: number;
  readonly low: number;
  readonly tokens: number;
}

export class PromptTrail {
  readonly #body: string;
  #high = 0x9e3779b9;
  #low = 0x85ebca6b;
  #length = 0;
  #images = 0;
  #whole = WHOLE;
  readonly #boundaries: Boundary[] = [];

  constructor(fields: BodyFields) {
    this.#body = fields.body;
  }

  /** What a prompt field holds: message by message, or a text. */
  take(field: Occurrence | null): void {
    const pieces = field?.pieces ?? [];
    for (let i = 0; i < pieces.length; i += 3) {
      const start = pieces[i + 1]!;
      const end = pieces[i + 2]!;
      if (pieces[i] === BOUNDARY_PIECE) {
        this.#bound();
      } else if (pieces[i] === MEDIA_PIECE) {
        this.#media(start, end);
      } else {
        this.#text(start, end);
      }
    }
  }

  /** The field as it is written, without a boundary: for what stands before a system prompt, such as the tools. */
  takeRaw(field: Occurrence | null): void {
    if (field !== null) {
      this.#text(field.start, field.end);
    }
  }

  /** One long text without messages in it: its beginnings of 1, 2, 4, … KiB are boundaries as well as its end. */
  takeLong(field: Occurrence | null): void {
    const pieces = field?.pieces ?? [];
    const isOneText = pieces.length === 6;
    if (!isOneText) {
      this.take(field);
      return;
    }
    let from = pieces[1]!;
    const end = pieces[2]!;
    for (let at = from + FIRST_BLOCK; at < end && at - pieces[1]! <= LAST_BLOCK; at = 2 * at - pieces[1]!) {
      this.#text(from, at);
      this.#bound();
      from = at;
    }
    this.#text(from, end);
    this.#bound();
  }

  get promptTokens(): number {
    return Math.ceil(this.#length / 4) + this.#images * IMAGE_TOKENS;
  }

  /** The marks, shortest first; `hash` keys them. */
  marks(hash: (text: string) => string): readonly PrefixMark[] {
    const recent = Math.max(0, this.#boundaries.length - LAST_MARKS);
    const steps = (Math.floor(recent / MARK_STEP) - STEP_MARKS) * MARK_STEP;
    const marks: PrefixMark[] = [];
    this.#boundaries.forEach(({ high, low, tokens }, index) => {
      const number = index + 1;
      const isStep = number % MARK_STEP === 0 && number > steps;
      if (number <= FIRST_MARKS || index >= recent || isStep) {
        marks.push({ hash: hash(`${high >>> 0}.${low >>> 0}.${tokens}`), tokens });
      }
    });
    return marks;
  }

  #text(start: number, end: number): void {
    const length = end - start;
    this.#length += length;
    if (length <= this.#whole || length <= HEAD + TAIL + STRIPES * STRIPE) {
      this.#mix(start, end);
    } else {
      this.#sample(start, end);
    }
    this.#whole = Math.max(0, this.#whole - length);
    this.#mixNumber(length);
  }

  #sample(start: number, end: number): void {
    const from = start + Math.max(HEAD, this.#whole);
    const to = Math.max(from, end - TAIL);
    this.#mix(start, from);
    for (let stripe = 1; stripe <= STRIPES; stripe++) {
      const at = from + Math.floor(((to - from) * stripe) / (STRIPES + 1));
      this.#mix(at, Math.min(to, at + STRIPE));
    }
    this.#mix(to, end);
  }

  /** An image, sound or file: counted as Ollama counts an image, told apart by its ends and its length. */
  #media(start: number, end: number): void {
    this.#images++;
    this.#mix(start, Math.min(end, start + HEAD));
    this.#mix(Math.max(start, end - TAIL), end);
    this.#mixNumber(end - start);
  }

  /** The prompt up to here may be another prompt's beginning. */
  #bound(): void {
    this.#boundaries.push({ high: this.#high, low: this.#low, tokens: this.promptTokens });
  }

  /** Two multiplicative hashes side by side, two characters at a step; `hash` above makes them hard to guess. */
  #mix(start: number, end: number): void {
    const body = this.#body;
    let high = this.#high;
    let low = this.#low;
    let i = start;
    for (; i + 1 < end; i += 2) {
      const pair = body.charCodeAt(i) | (body.charCodeAt(i + 1) << 8);
      high = Math.imul(high ^ pair, 0x9e3779b1);
      low = Math.imul(low ^ pair, 0x85ebca77);
      high ^= high >>> 15;
      low ^= low >>> 13;
    }
    if (i < end) {
      high = Math.imul(high ^ body.charCodeAt(i), 0x9e3779b1);
      low = Math.imul(low ^ body.charCodeAt(i), 0x85ebca77);
    }
    this.#high = high;
    this.#low = low;
  }

  #mixNumber(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x27d4eb2f) ^ (this.#low >>> 7);
    this.#low = Math.imul(this.#low ^ value, 0x165667b1) ^ (this.#high >>> 11);
  }
}
