import { Type } from 'typebox';
import { busyness } from './least-connections.ts';
import { definePolicy } from './policy.ts';

export const powerOfTwo = definePolicy({
  summary: 'The less busy of a few drawn at random; steadier than random, cheaper to reason about in large fleets.',
  options: Type.Object(
    {
      choices: Type.Integer({ description: 'How many are drawn.', minimum: 2, maximum: 16, default: 2 }),
    },
    { additionalProperties: false },
  ),
  create: ({ choices }, rng) => ({
    pick(candidates) {
      const pool = [...candidates];
      let best = candidates[0];
      const draws = Math.min(choices, pool.length);
      for (let drawn = 0; drawn < draws; drawn += 1) {
        // The drawn ones gather at the front, so that none is drawn twice.
        const index = drawn + Math.floor(rng.next() * (pool.length - drawn));
        const candidate = pool[index]!;
        pool[index] = pool[drawn]!;
        pool[drawn] = candidate;
        if (drawn === 0 || busyness(candidate) < busyness(best)) best = candidate;
      }
      return best;
    },
  }),
});
