/** One history: so many steps from a seed, checked after each. */
import { createHash } from 'node:crypto';
import { seededRng } from '../../test/support/random.ts';
import { settled } from '../../test/support/virtual-clock.ts';
import { checkInvariants, checkQuiescence } from './invariants.ts';
import { nextStep } from './steps.ts';
import { World } from './world.ts';

export interface History {
  readonly seed: number;
  /** sha256 over everything that happened, in hex. */
  readonly digest: string;
  /** What was broken, and after how many steps; null when nothing was. */
  readonly violation: { readonly step: number; readonly message: string } | null;
  readonly log: readonly string[];
}

/** Longer than any wait and any attempt of the simulated world. */
const QUIET_MS = 200_000;

export async function simulate(seed: number, steps: number): Promise<History> {
  const rng = seededRng(seed);
  const world = new World(seed ^ 0x5f3759df);
  let taken = 0;
  let violation: History['violation'] = null;
  try {
    for (; taken < steps; taken += 1) {
      const step = nextStep(rng);
      world.take(step);
      await (step.do === 'advance' ? world.clock.advance(step.ms) : settled());
      checkInvariants(world);
    }
    world.heal();
    await world.clock.advance(QUIET_MS);
    checkInvariants(world);
    checkQuiescence(world);
  } catch (error) {
    violation = { step: taken, message: error instanceof Error ? error.message : String(error) };
  }
  const digest = createHash('sha256').update(world.log.join('\n')).digest('hex');
  return { seed, digest, violation, log: world.log };
}
