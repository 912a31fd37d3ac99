import { Type } from 'typebox';
import { definePolicy } from './policy.ts';

export const ipHash = definePolicy({
  summary:
    'The same backend for the same address while it can be had (weighted rendezvous hashing): one that leaves or comes ' +
    'moves only the addresses that were or become its own.',
  options: Type.Object({}, { additionalProperties: false }),
  create: () => ({
    pick(candidates, job) {
      let best = candidates[0];
      let highest = -Infinity;
      for (const candidate of candidates) {
        const score = candidate.weight / -Math.log(hashFraction(job.address, candidate.id));
        if (score > highest) {
          best = candidate;
          highest = score;
        }
      }
      return best;
    },
  }),
});

/** Uniform in (0, 1), from two texts: FNV-1a over both, then mixed so that texts that differ little end far apart. */
function hashFraction(address: string, id: string): number {
  let hash = fnv1a(id, fnv1a(address, 0x811c9dc5) ^ 0xff);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return ((hash >>> 0) + 0.5) / 4294967296;
}

function fnv1a(text: string, seed: number): number {
  let hash = seed;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}
