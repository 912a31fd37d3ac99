/** Seeded luck, so that the same seed and the same request give the same text. */
import type { Rng } from '../core/types.ts';

/** A generator of its own for each text: the same parts give the same numbers. */
export function seededRng(...parts: readonly (string | number)[]): Rng {
  let state = hash(parts.join('\u0000'));
  return {
    next() {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
    },
  };
}

/** A whole number in [0, below). */
export function draw(rng: Rng, below: number): number {
  return Math.floor(rng.next() * below);
}

/** FNV-1a over UTF-16 units, finished so that close inputs lie far apart. */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}

/** `digits` hexadecimal digits. */
export function hexDigits(rng: Rng, digits: number): string {
  let text = '';
  while (text.length < digits) text += draw(rng, 16).toString(16);
  return text;
}
