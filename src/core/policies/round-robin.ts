import { Type } from 'typebox';
import { definePolicy } from './policy.ts';
import { turns } from './turns.ts';

export const roundRobin = definePolicy({
  summary: 'Each in turn: whoever was chosen longest ago. Equal shares, whatever the weights.',
  options: Type.Object({}, { additionalProperties: false }),
  create() {
    const lastTurn = turns(0);
    let turn = 0;
    return {
      pick(candidates) {
        let longestAgo = candidates[0];
        let itsTurn = lastTurn.of(longestAgo.id);
        for (const candidate of candidates) {
          const candidateTurn = lastTurn.of(candidate.id);
          if (candidateTurn < itsTurn) {
            longestAgo = candidate;
            itsTurn = candidateTurn;
          }
        }
        turn += 1;
        lastTurn.set(longestAgo.id, turn);
        return longestAgo;
      },
    };
  },
});
