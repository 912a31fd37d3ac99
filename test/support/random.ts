/** Luck that can be replayed. */
import type { Rng } from '../../src/core/types.ts';

/** Uniform in [0, 1), the same sequence for the same seed (splitmix32). */
export function seededRng(seed: number): Rng {
  let state = seed | 0;
  return {
    next() {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      mixed ^= mixed >>> 15;
      return (mixed >>> 0) / 4294967296;
    },
  };
}

/** A whole number in [0, below). */
export function below(rng: Rng, limit: number): number {
  return Math.floor(rng.next() * limit);
}
