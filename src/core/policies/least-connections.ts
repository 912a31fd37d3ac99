import { Type } from 'typebox';
import { definePolicy, type Candidate } from './policy.ts';

export const leastConnections = definePolicy({
  summary:
    'The smallest share of slots in use, weights considered; ties are broken at random so that none is shadowed.',
  options: Type.Object({}, { additionalProperties: false }),
  create: (_options, rng) => ({
    pick(candidates) {
      let best = candidates[0];
      let least = busyness(best);
      let ties = 1;
      for (let index = 1; index < candidates.length; index += 1) {
        const candidate = candidates[index]!;
        const busy = busyness(candidate);
        if (busy < least) {
          best = candidate;
          least = busy;
          ties = 1;
        } else if (busy === least) {
          ties += 1;
          if (rng.next() * ties < 1) best = candidate;
        }
      }
      return best;
    },
  }),
});

/** Slots in use per unit of weight: a backend of weight 2 takes twice the load of one of weight 1. */
export function busyness(candidate: Candidate): number {
  return candidate.inFlight === 0 ? 0 : candidate.inFlight / (candidate.slots * candidate.weight);
}
