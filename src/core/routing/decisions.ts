/** The last decisions, each with what was weighed, so that "why there?" has an answer. */
import type { Placement } from '../planner.ts';
import type { Waiter } from '../queue.ts';
import type { BackendId, Job, Millis, ModelName, RouteReason } from '../types.ts';
import type { Weighed } from './cost.ts';
import type { Phase } from './knowledge.ts';
import type { Plan } from './residency.ts';

/** One backend as it was weighed; times in ms. */
export interface CandidateTerms {
  readonly backend: BackendId;
  readonly phase: Phase;
  readonly free: boolean;
  readonly waitMs: Millis;
  readonly loadMs: Millis;
  readonly prefillMs: Millis;
  readonly cachedTokens: number;
  readonly totalMs: Millis;
}

export type Decision =
  /** A job was sent to `backend`. */
  | {
      readonly kind: 'sent';
      readonly at: Millis;
      readonly job: string;
      readonly model: ModelName | null;
      readonly options: string;
      readonly backend: BackendId;
      readonly reason: RouteReason;
      /** In the gateway, before. */
      readonly waitedMs: Millis;
      readonly candidates: readonly CandidateTerms[];
      readonly why: string;
    }
  /** A job that could have gone to `instead` waits for `backend`, at most for `forMs`. */
  | {
      readonly kind: 'held';
      readonly at: Millis;
      readonly job: string;
      readonly model: ModelName | null;
      readonly options: string;
      readonly backend: BackendId;
      readonly instead: BackendId;
      readonly forMs: Millis;
      readonly candidates: readonly CandidateTerms[];
      readonly why: string;
    }
  /** A model is loaded on `backend`, in place of `evicted`. */
  | {
      readonly kind: 'placed';
      readonly at: Millis;
      readonly model: ModelName | null;
      readonly options: string;
      readonly backend: BackendId;
      readonly evicted: readonly ModelName[];
      /** What evicting costs others, and what waiting had cost those who want the model. */
      readonly priceMs: Millis;
      readonly regretMs: Millis;
      readonly waiting: number;
      readonly why: string;
    };

export class DecisionLog {
  readonly #capacity: number;
  /** Told only when asked for: most decisions never are. */
  readonly #ring: (() => Decision)[] = [];
  #next = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(decision: () => Decision): void {
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** Newest first. */
  list(): readonly Decision[] {
    const older = this.#ring.slice(this.#next);
    return [...older, ...this.#ring.slice(0, this.#next)].reverse().map((tell) => tell());
  }
}

export function sent(
  { job, since }: Pick<Waiter, 'job' | 'since'>,
  { backend, reason }: Placement,
  weighed: readonly Weighed[],
  at: Millis,
): () => Decision {
  return () => ({
    kind: 'sent',
    at,
    ...about(job),
    backend,
    reason,
    waitedMs: at - since,
    candidates: weighed.map(termsOf),
    why: why[reason],
  });
}

export function held(
  job: Job,
  { free, busy }: { readonly free: Weighed; readonly busy: Weighed },
  weighed: readonly Weighed[],
  { at, forMs }: { readonly at: Millis; readonly forMs: Millis },
): () => Decision {
  return () => ({
    kind: 'held',
    at,
    ...about(job),
    backend: busy.backend,
    instead: free.backend,
    forMs,
    candidates: weighed.map(termsOf),
    why: 'a slot there is expected sooner than the prompt could be processed elsewhere',
  });
}

export function placed({ runner, victims, priceMs, regretMs }: Plan, waiting: number, at: Millis): () => Decision {
  return () => ({
    kind: 'placed',
    at,
    model: runner.model,
    options: runner.options,
    backend: runner.backend.id,
    evicted: victims.map(({ model }) => model),
    priceMs,
    regretMs,
    waiting,
    why:
      regretMs >= priceMs
        ? 'those who wait for it have waited for as long as evicting costs the others'
        : 'one of those who wait for it has waited for as long as anybody should',
  });
}

const why: Readonly<Record<RouteReason, string>> = {
  only: 'no other backend may serve it',
  warm: 'the model is in memory there, and a slot is free',
  sticky: 'it remembers the beginning of the prompt',
  'least-busy': 'the first token is predicted soonest there',
  cold: 'the model had to be loaded first',
  policy: 'the policy chose it',
  placement: 'it needs no slot',
};

function about({ id, model, runnerOptions }: Job): { job: string; model: ModelName | null; options: string } {
  return { job: id, model, options: runnerOptions };
}

function termsOf(weighed: Weighed): CandidateTerms {
  const { backend, phase, free, waitMs, loadMs, prefillMs, cachedTokens, totalMs } = weighed;
  return { backend, phase, free, waitMs, loadMs, prefillMs, cachedTokens, totalMs };
}
