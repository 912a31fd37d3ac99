/** The texts and images in a prompt, wherever the API puts them, as places in the body, in the order they stand. */
import { eachElement, eachMember, foldedKey, kindAt, stringEnd, valueEnd } from './json-outline.ts';

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

/**
 * Adds the pieces of the value at `start` to `pieces`; a boundary follows each element when it is an array, and the whole else.
 * Returns where the value ends. Throws BrokenOutline.
 */
export function collectPieces(body: string, start: number, pieces: PromptPieces): number {
  if (kindAt(body, start) === 'array') {
    return eachElement(body, start, (at) => {
      const end = collect(body, at, pieces, 1);
      pieces.push(BOUNDARY_PIECE, end, end);
      return end;
    });
  }
  const end = collect(body, start, pieces, 0);
  pieces.push(BOUNDARY_PIECE, end, end);
  return end;
}

/** Adds the images (or the one image) at `start`; returns where they end. Throws BrokenOutline. */
export function collectMedia(body: string, start: number, pieces: PromptPieces): number {
  const kind = kindAt(body, start);
  if (kind === 'array') {
    return eachElement(body, start, (at) => takeMedia(body, at, pieces));
  }
  return kind === 'null' ? valueEnd(body, start) : takeMedia(body, start, pieces);
}

function collect(body: string, start: number, pieces: PromptPieces, depth: number): number {
  const kind = kindAt(body, start);
  if (kind === 'string') {
    const end = stringEnd(body, start + 1);
    pieces.push(TEXT_PIECE, start + 1, end);
    return end + 1;
  }
  if (kind === 'array' && depth < MAX_DEPTH) {
    return eachElement(body, start, (at) => collect(body, at, pieces, depth + 1));
  }
  if (kind === 'object' && depth < MAX_DEPTH) {
    return eachMember(body, start, (key, at) => collectMember(body, key, at, { pieces, depth }));
  }
  const end = valueEnd(body, start);
  if (kind === 'array' || kind === 'object') {
    pieces.push(TEXT_PIECE, start, end);
  }
  return end;
}

function collectMember(
  body: string,
  written: string,
  at: number,
  { pieces, depth }: { readonly pieces: PromptPieces; readonly depth: number },
): number {
  const key = foldedKey(written);
  if (MEDIA_KEYS.has(key)) {
    return collectMedia(body, at, pieces);
  }
  return IGNORED_KEYS.has(key) ? valueEnd(body, at) : collect(body, at, pieces, depth + 1);
}

function takeMedia(body: string, start: number, pieces: PromptPieces): number {
  const end = valueEnd(body, start);
  pieces.push(MEDIA_PIECE, start, end);
  return end;
}
