import { Type } from 'typebox';
import { definePolicy } from './policy.ts';

export const random = definePolicy({
  summary: 'Any, with a chance in proportion to its weight.',
  options: Type.Object({}, { additionalProperties: false }),
  create: (_options, rng) => ({
    pick(candidates) {
      let total = 0;
      for (const candidate of candidates) total += candidate.weight;
      let left = rng.next() * total;
      for (const candidate of candidates) {
        left -= candidate.weight;
        if (left < 0) return candidate;
      }
      return candidates[0];
    },
  }),
});
