/**
 * What of a prompt matters to routing: about how long it is, and at which message boundaries it could share a prefix with
 * an earlier one. Fed with the prompt's texts in order; hashes the first 16 KiB whole and samples of what follows, so that the
 * cost has a bound whatever the size. Two prompts that differ only between the samples look the same here, which costs a wrong
 * guess about a cache, never a wrong answer.
 */
import type { PrefixMark } from '../core/types.ts';

/** Bytes hashed in full, from the prompt's start. */
const WHOLE_BYTES = 16_384;
/** After those: the first and last bytes of each text. */
const HEAD_BYTES = 1_024;
const TAIL_BYTES = 256;
/** The shortest prefix of one long text that is marked; each further mark is twice as long. */
const FIRST_BLOCK = 1_024;
/** Ollama's own estimate of what an image takes. */
const IMAGE_TOKENS = 768;

/** Boundaries that are reported: the first ones are shared between conversations, the last ones within one. */
const FIRST_MARKS = 2;
const LAST_MARKS = 8;
/** Between those, boundaries whose number is a multiple of this: long steps of a conversation meet there. */
const MARK_STEP = 8;
const STEP_MARKS = 2;

interface Boundary {
  readonly high: number;
  readonly low: number;
  readonly tokens: number;
}

export class PromptTrail {
  #high = 0x9e3779b9;
  #low = 0x85ebca6b;
  #textBytes = 0;
  #images = 0;
  #budget = WHOLE_BYTES;
  readonly #boundaries: Boundary[] = [];

  /** A text of the prompt: `bytes` from `start` to before `end`. */
  text(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#textBytes += length;
    if (length <= this.#budget) {
      this.#mix(bytes, start, end);
    } else {
      const head = Math.min(length, Math.max(this.#budget, HEAD_BYTES));
      this.#mix(bytes, start, start + head);
      this.#mix(bytes, Math.max(start + head, end - TAIL_BYTES), end);
    }
    this.#mixNumber(length);
    this.#budget = Math.max(0, this.#budget - length);
  }

  /** One long text without messages in it: prefixes of 1, 2, 4, … KiB are boundaries as well as its end. */
  longText(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    for (let block = FIRST_BLOCK; block <= this.#budget && start + block < end; ) {
      this.#mix(bytes, from, start + block);
      this.#textBytes += start + block - from;
      this.boundary();
      from = start + block;
      block *= 2;
      if (block > WHOLE_BYTES) {
        break;
      }
    }
    this.#budget = Math.max(0, this.#budget - (from - start));
    this.text(bytes, from, end);
    this.boundary();
  }

  /** An image, sound or file: counted as Ollama counts an image, told apart by its ends and its length. */
  media(bytes: Uint8Array, start: number, end: number): void {
    this.#images++;
    this.#mix(bytes, start, Math.min(end, start + TAIL_BYTES));
    this.#mix(bytes, Math.max(start, end - TAIL_BYTES), end);
    this.#mixNumber(end - start);
  }

  /** The prompt up to here may be another prompt's beginning. */
  boundary(): void {
    this.#boundaries.push({ high: this.#high, low: this.#low, tokens: this.promptTokens });
  }

  get promptTokens(): number {
    return Math.ceil(this.#textBytes / 4) + this.#images * IMAGE_TOKENS;
  }

  /** The marks, shortest first; `hash` keys them. */
  marks(hash: (text: string) => string): readonly PrefixMark[] {
    const count = this.#boundaries.length;
    const recent = Math.max(0, count - LAST_MARKS);
    const lastStep = Math.floor(recent / MARK_STEP) * MARK_STEP;
    return this.#boundaries
      .filter((_, index) => {
        const number = index + 1;
        const isStep = number % MARK_STEP === 0 && number > lastStep - STEP_MARKS * MARK_STEP;
        return number <= FIRST_MARKS || index >= recent || isStep;
      })
      .map(({ high, low, tokens }) => ({ hash: hash(`${high >>> 0}.${low >>> 0}.${tokens}`), tokens }));
  }

  /** Two multiplicative hashes side by side, four bytes at a step; `hash` above makes them hard to guess. */
  #mix(bytes: Uint8Array, start: number, end: number): void {
    let high = this.#high;
    let low = this.#low;
    let i = start;
    for (; i + 4 <= end; i += 4) {
      const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
      high = Math.imul(high ^ word, 0x9e3779b1);
      high ^= high >>> 15;
      low = Math.imul(low ^ word, 0x85ebca77) + 0x165667b1;
      low ^= low >>> 13;
    }
    for (; i < end; i++) {
      high = Math.imul(high ^ bytes[i]!, 0x9e3779b1);
      low = Math.imul(low ^ bytes[i]!, 0x85ebca77);
    }
    this.#high = high;
    this.#low = low;
  }

  #mixNumber(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x27d4eb2f) ^ (this.#low >>> 7);
    this.#low = Math.imul(this.#low ^ value, 0x165667b1) ^ (this.#high >>> 11);
  }
}
