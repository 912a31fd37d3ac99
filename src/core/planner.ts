/**
 * The scheduler's one decision: given a job that has just come, or all that wait, who goes where now, or nobody. The
 * scheduler asks at every event that may change the answer; a planner never acts, it only answers.
 */
import type { Fleet } from './fleet.ts';
import type { Candidate, Policy } from './policies/policy.ts';
import type { Waiter, WaitingJobs } from './queue.ts';
import type { BackendId, Job, Millis, NonEmpty, RouteReason } from './types.ts';

export interface Placement {
  readonly backend: BackendId;
  readonly reason: RouteReason;
}

export interface Dispatch<W extends Waiter = Waiter> extends Placement {
  readonly waiter: W;
}

/** The part of the fleet that a planner may read. */
export type FleetReader = Pick<Fleet, 'eligible' | 'view' | 'capacityFor'>;

export interface Planner {
  /** Nobody waits and this job has come. Null holds it: it waits, and `next` is asked from then on. */
  place(job: Job, candidates: NonEmpty<Candidate>, now: Millis): Placement | null;
  /** The next of the waiting jobs to go, to a backend that is eligible for it now. Asked again until it answers null. */
  next<W extends Waiter>(waiting: WaitingJobs<W>, fleet: FleetReader, now: Millis): Dispatch<W> | null;
  /** When to ask again although nothing has happened; null, or absent, when only events matter. */
  wakeAt?(now: Millis): Millis | null;
}

/** Whoever fits goes at once, in the queue's order; the policy chooses among the backends that fit. */
export function policyPlanner(policy: Policy): Planner {
  function place(job: Job, candidates: NonEmpty<Candidate>, now: Millis): Placement {
    // A single candidate is put to the policy too: what it remembers must not depend on how many there were.
    return { backend: policy.pick(candidates, job, now).id, reason: candidates.length === 1 ? 'only' : 'policy' };
  }
  return {
    place,
    next(waiting, fleet, now) {
      const fitting = firstFitting(waiting, fleet);
      return fitting === null
        ? null
        : { waiter: fitting.waiter, ...place(fitting.waiter.job, fitting.candidates, now) };
    },
  };
}

/** The first job in the queue's order that some backend could take now. */
export function firstFitting<W extends Waiter>(
  waiting: WaitingJobs<W>,
  fleet: FleetReader,
): { readonly waiter: W; readonly candidates: NonEmpty<Candidate> } | null {
  let first: { waiter: W; candidates: NonEmpty<Candidate> } | null = null;
  for (const { head } of waiting.lanes) {
    if (first !== null && waiting.precedes(first.waiter, head)) continue;
    const eligibility = fleet.eligible(head.job, head.tried);
    if (eligibility.kind === 'candidates') first = { waiter: head, candidates: eligibility.candidates };
  }
  return first;
}
