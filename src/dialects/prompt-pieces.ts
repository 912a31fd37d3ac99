/** The texts and images in a prompt, wherever the API puts them, as places in the body, in the order they stand. */
import { eachElement, eachMember, foldedKey, kindAt, STOP, stringEnd, valueEnd } from './json-outline.ts';

/** A flat list, three numbers a piece: its kind, where it begins, where it ends. */
export type PromptPieces = number[];

export const TEXT_PIECE = 0;
export const MEDIA_PIECE = 1;
/** Here a message ends. */
export const BOUNDARY_PIECE = 2;

/** Members that hold an image, a sound or a file. */
const MEDIA_KEYS: ReadonlySet<string> = new Set(['images', 'image_url', 'input_audio', 'file', 'file_data', 'source']);
/** Members that say nothing to the model, and move between turns. */
const IGNORED_KEYS: ReadonlySet<string> = new Set(['cache_control']);

/** Below this a value is taken as one text; what clients send is far shallower. */
const MAX_DEPTH = 8;
/** After so many values what is left of a field is taken as one text, so that a body of tiny ones costs little. */
const MAX_VALUES = 30_000;

export interface Collected {
  readonly pieces: PromptPieces;
  /** Where the value ends. */
  readonly end: number;
  /** False when there was so much of it that the rest was taken as one text, whatever is in it. */
  readonly isWhole: boolean;
}

/**
 * The pieces of a prompt field at `start`; a boundary follows each element when it is an array, and the whole else. Throws
 * BrokenOutline.
 */
export function collectPieces(body: string, start: number): Collected {
  const collector = new Collector(body);
  const end =
    kindAt(body, start) === 'array'
      ? eachElement(body, start, (at) => collector.bound(collector.value(at, 1)))
      : collector.bound(collector.value(start, 0));
  return collector.collected(start, end);
}

/** As above, of a field that holds images (or one), without boundaries. */
export function collectMedia(body: string, start: number): Collected {
  const collector = new Collector(body);
  const end = collector.media(start);
  return collector.collected(start, end);
}

class Collector {
  readonly pieces: PromptPieces = [];
  readonly #body: string;
  #values = 0;
  /** Where the last value ended that was taken. */
  #taken = 0;

  constructor(body: string) {
    this.#body = body;
  }

  /** Takes the texts in the value at `start`; returns where it ends, or STOP when there were too many. */
  value(start: number, depth: number): number {
    const body = this.#body;
    this.#values++;
    if (this.#values > MAX_VALUES) {
      return STOP;
    }
    const kind = kindAt(body, start);
    if (kind === 'string') {
      const end = stringEnd(body, start + 1);
      this.pieces.push(TEXT_PIECE, start + 1, end);
      return this.#take(end + 1);
    }
    if (kind === 'array' && depth < MAX_DEPTH) {
      return eachElement(body, start, (at) => this.value(at, depth + 1));
    }
    if (kind === 'object' && depth < MAX_DEPTH) {
      return eachMember(body, start, (key, at) => this.#member(foldedKey(key), at, depth));
    }
    const end = valueEnd(body, start);
    if (kind === 'array' || kind === 'object') {
      this.pieces.push(TEXT_PIECE, start, end);
    }
    return this.#take(end);
  }

  media(start: number): number {
    const kind = kindAt(this.#body, start);
    if (kind === 'array') {
      return eachElement(this.#body, start, (at) => this.#medium(at));
    }
    return kind === 'null' ? this.#take(valueEnd(this.#body, start)) : this.#medium(start);
  }

  /** A boundary at `end`, unless the walk was given up. */
  bound(end: number): number {
    if (end !== STOP) {
      this.pieces.push(BOUNDARY_PIECE, end, end);
    }
    return end;
  }

  /** What there is of the field at `start`, whose walk ended at `end` or was given up. */
  collected(start: number, end: number): Collected {
    const isWhole = end !== STOP;
    return { end: isWhole ? end : this.rest(start), pieces: this.pieces, isWhole };
  }

  /** What of the field at `start` was not taken, as one text; returns where the field ends. */
  rest(start: number): number {
    const end = valueEnd(this.#body, start);
    this.pieces.push(TEXT_PIECE, Math.max(start, this.#taken), end);
    return this.bound(end);
  }

  #member(key: string, at: number, depth: number): number {
    if (MEDIA_KEYS.has(key)) {
      return this.media(at);
    }
    return IGNORED_KEYS.has(key) ? valueEnd(this.#body, at) : this.value(at, depth + 1);
  }

  #medium(start: number): number {
    this.#values++;
    if (this.#values > MAX_VALUES) {
      return STOP;
    }
    const end = valueEnd(this.#body, start);
    this.pieces.push(MEDIA_PIECE, start, end);
    return this.#take(end);
  }

  #take(end: number): number {
    this.#taken = end;
    return end;
  }
}
