/** Seeded luck (sfc32), and the distributions the workloads draw from. */
import type { Rng } from '../../src/core/types.ts';

/** The same seed and the same name give the same numbers; another name gives an independent stream. */
export function seededRng(seed: number, name = ''): Rng {
  let a = mix(seed ^ 0x9e3779b9);
  let b = mix(a ^ hashText(name));
  let c = mix(b ^ 0x85ebca6b);
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 4294967296;
  };
  for (let warm = 0; warm < 12; warm++) next();
  return { next };
}

/** FNV-1a over UTF-16 units. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return mixed ^ (mixed >>> 15);
}

/** Exponential with the given mean. */
export function exponential(rng: Rng, mean: number): number {
  return -mean * Math.log(1 - rng.next());
}

/** 1, 2, … with the given mean (>= 1). */
export function geometric(rng: Rng, mean: number): number {
  let turns = 1;
  while (rng.next() >= 1 / mean) turns++;
  return turns;
}

/** An index from 0, with weight 1 / (index + 1) ** s. */
export function zipf(rng: Rng, count: number, s: number): number {
  let total = 0;
  for (let index = 0; index < count; index++) total += (index + 1) ** -s;
  let left = rng.next() * total;
  for (let index = 0; index < count; index++) {
    left -= (index + 1) ** -s;
    if (left < 0) return index;
  }
  return count - 1;
}
