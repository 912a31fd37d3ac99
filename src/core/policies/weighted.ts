import { Type } from 'typebox';
import { definePolicy } from './policy.ts';
import { turns } from './turns.ts';

export const weighted = definePolicy({
  summary: 'Each in turn as often as its weight says, evenly interleaved (smooth weighted round robin).',
  options: Type.Object({}, { additionalProperties: false }),
  create() {
    // What each is owed. The sum over the candidates of one pick does not change: all earn their weight, one pays the total.
    const owed = turns(0);
    return {
      pick(candidates) {
        let total = 0;
        for (const candidate of candidates) total += candidate.weight;
        let best = candidates[0];
        let most = -Infinity;
        for (const candidate of candidates) {
          // Among changing candidates a debt or claim could grow; beyond one round of all it means nothing.
          const earned = clamp(owed.of(candidate.id), total) + candidate.weight;
          owed.set(candidate.id, earned);
          if (earned > most) {
            best = candidate;
            most = earned;
          }
        }
        owed.set(best.id, most - total);
        return best;
      },
    };
  },
});

function clamp(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value));
}
