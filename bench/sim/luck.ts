/** The distributions the workloads draw from. */
import type { Rng } from '../../src/core/types.ts';

/** Exponential with the given mean. */
export function exponential(rng: Rng, mean: number): number {
  return -mean * Math.log(1 - rng.next());
}

/** 1, 2, … with the given mean (>= 1). */
export function geometric(rng: Rng, mean: number): number {
  let count = 1;
  while (rng.next() >= 1 / mean) count++;
  return count;
}

/** An index from 0, with weight 1 / (index + 1) ** s. */
export function zipf(rng: Rng, count: number, s: number): number {
  const weights = zipfWeights(count, s);
  let left = rng.next();
  for (let index = 0; index < count; index++) {
    left -= weights[index]!;
    if (left < 0) return index;
  }
  return count - 1;
}

/** Shares that add up to 1, the largest first. */
export function zipfWeights(count: number, s: number): number[] {
  const raw = Array.from({ length: count }, (_, index) => (index + 1) ** -s);
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}

/** An even choice. */
export function choose<T>(rng: Rng, from: readonly T[]): T {
  return from[Math.floor(rng.next() * from.length)]!;
}
