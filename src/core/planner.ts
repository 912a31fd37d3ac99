/**
 * The scheduler's one decision: given a job that has just come, or all that wait, who goes where now, or nobody. The
 * scheduler asks at every event that may change the answer; a planner never acts, it only answers.
 */
import type { Fleet } from './fleet.ts';
import type { Candidate, Policy } from './policies/policy.ts';
import type { Decision } from './routing/decisions.ts';
import type { Waiter, WaitingJobs } from './queue.ts';
import type { Learnt } from './routing/knowledge.ts';
import type { BackendId, Job, Millis, ModelName, NonEmpty, Outcome, RouteReason, Task } from './types.ts';

export interface Placement {
  readonly backend: BackendId;
  readonly reason: RouteReason;
}

/** A job as it comes; it may become a waiter. */
export type Arrival = Pick<Waiter, 'job' | 'tried' | 'since'>;

export interface Dispatch<W extends Waiter = Waiter> extends Placement {
  readonly waiter: W;
}

/** The part of the fleet that a planner may read. */
export type FleetReader = Pick<Fleet, 'eligible' | 'prospect' | 'prospects' | 'view' | 'revision' | 'capacityFor'>;

/** Something a planner wants done about what is in memory, apart from any job. */
export interface Intent {
  readonly kind: 'load' | 'unload';
  readonly backend: BackendId;
  readonly model: ModelName;
  /** Canonical text of the options that shape the runner; '' for the backend's defaults. */
  readonly runnerOptions: string;
  /** Of the jobs it is for: an embedding model is loaded through another route. */
  readonly task: Task;
}

/** Carries out an intent and calls back once: with the time a load took, or null when it failed. */
export type Perform = (intent: Intent, ended: (tookMs: Millis | null) => void) => void;

/** Follows one lease. */
export interface LeaseWatch {
  /** The first byte of the answer came. */
  answered(now: Millis): void;
  released(outcome: Outcome, now: Millis): void;
}

/**
 * Only the first two methods are needed. The others let a planner learn from what happens and say what should be in memory;
 * they are called in the order of events, and none may call back.
 */
export interface Planner {
  /** Nobody waits and this job has come. Null holds it: it waits, and `next` is asked from then on. */
  place(arrival: Arrival, fleet: FleetReader, now: Millis): Placement | null;
  /** The next of the waiting jobs to go, to a backend that is eligible for it now. Asked again until it answers null. */
  next<W extends Waiter>(waiting: WaitingJobs<W>, fleet: FleetReader, now: Millis): Dispatch<W> | null;
  /** When to ask again although nothing has happened; null, or absent, when only events matter. */
  wakeAt?(now: Millis): Millis | null;
  /** It keeps count of what each runner can take, so that backends whose slots are `auto` need no limit. */
  readonly countsSlots?: boolean;
  /** Then: how many jobs like this one are served at once; at least 1. */
  slotsFor?(job: Job, now: Millis): number;
  /** Whether that rests on slots that are still being learnt: then no wait can be foretold from it. */
  guesses?(job: Job): boolean;
  /** Before anything else: whether intents will be carried out. */
  begin?(host: { readonly performs: boolean }): void;
  /** A job has come, for the first time or again after a failed attempt. */
  came?(job: Job, tried: readonly BackendId[], now: Millis): void;
  /** It has to wait. */
  queued?(job: Job, now: Millis): void;
  leased?(job: Job, placement: Placement, now: Millis): LeaseWatch | null;
  /** What should be done now; asked after every round of `next`. */
  intents?(waiting: WaitingJobs, fleet: FleetReader, now: Millis): readonly Intent[];
  /** The last decisions, newest first, for those who ask why. */
  decisions?(): readonly Decision[];
  /** What it has learnt that is worth keeping over a restart. */
  learnt?(): Learnt;
  /** Takes that up again. */
  restore?(learnt: Learnt, now: Millis): void;
  /** An intent was carried out; null when it failed. */
  performed?(intent: Intent, tookMs: Millis | null, now: Millis): void;
}

/** Whoever fits goes at once, in the queue's order; the policy chooses among the backends that fit. */
export function policyPlanner(policy: Policy): Planner {
  function choose(job: Job, candidates: NonEmpty<Candidate>, now: Millis): Placement {
    // A single candidate is put to the policy too: what it remembers must not depend on how many there were.
    return { backend: policy.pick(candidates, job, now).id, reason: candidates.length === 1 ? 'only' : 'policy' };
  }
  return {
    place({ job, tried }, fleet, now) {
      const eligibility = fleet.eligible(job, tried);
      return eligibility.kind === 'candidates' ? choose(job, eligibility.candidates, now) : null;
    },
    next(waiting, fleet, now) {
      const fitting = firstFitting(waiting, fleet);
      return fitting === null
        ? null
        : { waiter: fitting.waiter, ...choose(fitting.waiter.job, fitting.candidates, now) };
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
