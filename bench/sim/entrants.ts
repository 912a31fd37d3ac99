/** Who takes part in the league: the core's policies as they are in the gateway, and what others do. */
import { policyNames } from '../../src/core/policies/choice.ts';
import { baselines } from './baselines.ts';
import { coreRouter } from './core-router.ts';
import type { Router, World } from './world.ts';

export interface Entrant {
  readonly name: string;
  readonly summary: string;
  readonly create: (world: World) => Router;
}

export const entrants: readonly Entrant[] = [
  {
    name: 'soonest',
    summary: 'Llamero, told how many slots and places its backends have',
    create: coreRouter({ policy: 'soonest', told: true }),
  },
  {
    name: 'soonest-learning',
    summary: 'Llamero, told nothing: it learns slots and places',
    create: coreRouter({ policy: 'soonest', told: false }),
  },
  {
    name: 'soonest-fifo',
    summary: 'the same as `soonest`, with every client taken for one and the same: first come, first served',
    create: coreRouter({ policy: 'soonest', told: true, fair: false }),
  },
  ...policyNames
    .filter((name) => name !== 'soonest')
    .map((name) => ({
      name,
      summary: 'the gateway with this policy: one queue, released to free slots',
      create: coreRouter({ policy: name, told: true }),
    })),
  ...Object.entries(baselines).map(([name, { summary, create }]) => ({ name, summary, create })),
];

/** Throws when there is none of that name. */
export function entrantNamed(name: string): Entrant {
  const found = entrants.find((entrant) => entrant.name === name);
  if (found === undefined) throw new Error(`no policy ${name}; there are ${entrants.map((one) => one.name).join(' ')}`);
  return found;
}
