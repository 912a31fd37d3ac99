/** What may happen next, and how often. */
import { policyNames, type PolicyName } from '../../src/core/policies/choice.ts';
import type { Rng } from '../../src/core/types.ts';
import { below } from '../../test/support/random.ts';
import { choose } from '../sim/luck.ts';
import { moods, type Mood } from './herd.ts';

export const ids: readonly string[] = ['a', 'b', 'c', 'd'];
export const models: readonly string[] = ['m1:latest', 'm2:latest', 'm3:latest'];

export type Step =
  | {
      readonly do: 'ask';
      readonly client: string;
      readonly model: string;
      readonly priority: number;
      readonly poison: number | null;
      readonly only: readonly string[] | null;
    }
  | { readonly do: 'leave'; readonly which: number }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'probe'; readonly id: string }
  | { readonly do: 'mood'; readonly id: string; readonly mood: Mood }
  | { readonly do: 'inventory'; readonly id: string; readonly models: readonly string[] }
  | { readonly do: 'admin'; readonly id: string; readonly state: 'active' | 'draining' }
  | { readonly do: 'breaker'; readonly id: string; readonly state: 'open' | 'half-open' | 'closed' }
  | { readonly do: 'set'; readonly backends: readonly { id: string; moved: boolean; slots: number | 'auto' }[] }
  | { readonly do: 'options'; readonly limit: number; readonly timeout: number; readonly waitForBackend: boolean }
  | { readonly do: 'health'; readonly ejectAfter: number }
  | { readonly do: 'policy'; readonly name: PolicyName; readonly seed: number };

const makers: readonly (readonly [weight: number, make: (rng: Rng) => Step])[] = [
  [
    30,
    (rng) => ({
      do: 'ask',
      client: choose(rng, ['alice', 'bob', 'carol']),
      model: choose(rng, models),
      priority: choose(rng, [0, 0, 0, 1]),
      poison: rng.next() < 0.04 ? below(rng, 2) : null,
      only: rng.next() < 0.05 ? [choose(rng, ids)] : null,
    }),
  ],
  [24, (rng) => ({ do: 'advance', ms: 1 + below(rng, 400) })],
  [3, (rng) => ({ do: 'advance', ms: 1000 + below(rng, 20_000) })],
  [14, (rng) => ({ do: 'probe', id: choose(rng, ids) })],
  [5, (rng) => ({ do: 'leave', which: below(rng, 1000) })],
  [6, (rng) => ({ do: 'mood', id: choose(rng, ids), mood: choose(rng, moods) })],
  [9, (rng) => ({ do: 'mood', id: choose(rng, ids), mood: 'well' })],
  [2, (rng) => ({ do: 'inventory', id: choose(rng, ids), models: models.filter(() => rng.next() < 0.8) })],
  [1, (rng) => ({ do: 'admin', id: choose(rng, ids), state: 'draining' })],
  [2, (rng) => ({ do: 'admin', id: choose(rng, ids), state: 'active' })],
  [
    2,
    (rng) => ({ do: 'breaker', id: choose(rng, ids), state: choose(rng, ['open', 'half-open', 'closed', 'closed']) }),
  ],
  [
    1,
    (rng) => ({
      do: 'set',
      backends: ids
        .filter(() => rng.next() < 0.85)
        .map((id) => ({ id, moved: rng.next() < 0.15, slots: choose(rng, [1, 2, 3, 'auto'] as const) })),
    }),
  ],
  [
    1,
    (rng) => ({
      do: 'options',
      limit: below(rng, 12),
      timeout: 1000 + below(rng, 30_000),
      waitForBackend: rng.next() < 0.7,
    }),
  ],
  [0.5, (rng) => ({ do: 'health', ejectAfter: 1 + below(rng, 4) })],
  [0.7, (rng) => ({ do: 'policy', name: choose(rng, policyNames), seed: below(rng, 1_000_000) })],
];

const total = makers.reduce((sum, [weight]) => sum + weight, 0);

export function nextStep(rng: Rng): Step {
  let left = rng.next() * total;
  for (const [weight, make] of makers) {
    left -= weight;
    if (left < 0) return make(rng);
  }
  return makers[0]![1](rng);
}
