import type { Static, TObject } from 'typebox';
import type { BackendId, Job, Millis, NonEmpty, Rng } from '../types.ts';

/** A backend that may serve the job right now: healthy, not draining, under its slots, has (or may have) the model. */
export interface Candidate {
  readonly id: BackendId;
  /** The operator's relative share; > 0. */
  readonly weight: number;
  /** Concurrent requests it may hold; >= 1, may be Infinity. */
  readonly slots: number;
  readonly inFlight: number;
  /** True when the job's runner is known to be in memory there. */
  readonly warm: boolean;
}

/** A decision procedure. It filters nothing: everything it is given is allowed. */
export interface Policy {
  pick(candidates: NonEmpty<Candidate>, job: Job, now: Millis): Candidate;
}

/** A policy with its documentation and its options; what policies/index.ts lists. */
export interface PolicyDefinition<Options extends TObject = TObject> {
  /** One sentence for the docs. */
  readonly summary: string;
  readonly options: Options;
  create(options: Static<Options>, rng: Rng): Policy;
}

export function definePolicy<Options extends TObject>(
  definition: PolicyDefinition<Options>,
): PolicyDefinition<Options> {
  return definition;
}
