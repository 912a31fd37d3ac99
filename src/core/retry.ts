/**
 * May a failed attempt be tried elsewhere? Before the first byte only, for inference only, at most so many backends a
 * request, and out of a budget, so that retries cannot turn a small outage into a large one.
 */
import { Type, type Static } from 'typebox';
import type { FailureCode } from './errors.ts';
import { Duration } from './options.ts';
import type { Millis, Outcome, Rng } from './types.ts';

export const RetryOptions = Type.Object(
  {
    backends: Type.Integer({
      description:
        'Different backends one request is tried on; 1 turns retries off. One that refuses the connection does not count: nothing ' +
        'was sent to it.',
      minimum: 1,
      maximum: 10,
      default: 2,
    }),
    budget: Type.Number({
      description: 'Retries within `budgetWindow`, as a share of the requests within it.',
      minimum: 0,
      maximum: 1,
      default: 0.2,
    }),
    budgetFloor: Type.Integer({
      description: 'Retries within `budgetWindow` that are allowed however few the requests.',
      minimum: 0,
      default: 3,
    }),
    budgetWindow: Duration({
      description: 'The time over which the budget is counted.',
      default: '10s',
      minimum: '1s',
    }),
    backoff: Duration({
      description: 'The longest pause before the second retry; doubled for each further one. The first is immediate.',
      default: '50ms',
      minimum: 0,
    }),
    backoffLimit: Duration({ description: 'The longest pause before any retry.', default: '2s', minimum: 0 }),
  },
  { additionalProperties: false, description: 'When a request that failed before its first byte is tried elsewhere.' },
);
export type RetryOptions = Static<typeof RetryOptions>;

/** What one way of failing means. */
export interface FailureRule {
  /** Whether another backend may do better. */
  readonly elsewhere: boolean;
  /** Whom it speaks against; null: nobody. */
  readonly against: 'backend' | 'model' | 'busy' | null;
  /** Whether the request itself may have broken what it ran on. */
  readonly lethal?: true;
  /** Whether it strikes all that runs there at the same time: one death is one failure, however many requests it takes. */
  readonly shared?: true;
  /** Whether nothing was sent: then it is no try, and the next costs nothing of the budget. */
  readonly unsent?: true;
  /** What the client is told when nothing else can be tried; null: the backend's own answer passes unchanged. */
  readonly code: FailureCode | null;
}

/** How an attempt can fail. Its keys are the values of the `failure` label in metrics and logs. */
export const attemptFailures = {
  'backend-refused': { elsewhere: true, against: 'backend', shared: true, unsent: true, code: 'backend-refused' },
  'backend-connect-timeout': { elsewhere: true, against: 'backend', code: 'backend-connect-timeout' },
  'backend-reset': { elsewhere: true, against: 'backend', lethal: true, shared: true, code: 'backend-reset' },
  'backend-protocol': { elsewhere: true, against: 'backend', code: 'backend-protocol' },
  /** It answered 502, 503 or 504, other than for a full queue. */
  'backend-unavailable': { elsewhere: true, against: 'backend', code: 'backend-unavailable' },
  /** Nothing came within the limit although the model was in memory. */
  'backend-first-byte-timeout': { elsewhere: true, against: 'backend', code: 'backend-first-byte-timeout' },
  /** As above, but the model had to be loaded: slow is not broken. */
  'backend-cold-timeout': { elsewhere: false, against: null, code: 'backend-first-byte-timeout' },
  /** Its runner was found to hang; that it does is counted where it was found. */
  'runner-hung': { elsewhere: true, against: null, code: 'backend-first-byte-timeout' },
  /** 503 because its own queue is full. */
  'backend-busy': { elsewhere: true, against: 'busy', code: null },
  /** 500 because the runner died, would not load or ran out of memory. */
  'runner-failed': { elsewhere: true, against: 'model', lethal: true, code: null },
  /** 404 although the inventory has it. */
  'model-missing': { elsewhere: true, against: null, code: null },
  /** 404 of its router: its release is older than the API. */
  'route-missing': { elsewhere: true, against: null, code: null },
  /** A model of ollama.com, and this backend is not signed in, may not, or cannot reach it. */
  'cloud-unavailable': { elsewhere: true, against: null, code: null },
  'rate-limited': { elsewhere: true, against: null, code: null },
  /** Any other 4xx, and the 500s and 501s that are a client's mistake. */
  'client-mistake': { elsewhere: false, against: null, code: null },
  'backend-lost': { elsewhere: false, against: 'backend', lethal: true, shared: true, code: 'backend-lost' },
  'backend-truncated': { elsewhere: false, against: 'backend', code: 'backend-truncated' },
  'backend-idle-timeout': { elsewhere: false, against: 'backend', code: 'backend-idle-timeout' },
  /** The gateway is out of sockets. */
  overloaded: { elsewhere: false, against: null, code: 'overloaded' },
  'total-timeout': { elsewhere: false, against: null, code: 'total-timeout' },
} as const satisfies Record<string, FailureRule>;

export type AttemptFailure = keyof typeof attemptFailures;

/** Whether the failure is one that quarantine counts against the request. */
export function isLethal(failure: string): boolean {
  return ruleOf(failure)?.lethal === true;
}

/** Whether other requests on the same backend fail in the same way at the same time. */
export function isShared(failure: string): boolean {
  return ruleOf(failure)?.shared === true;
}

/** Whether the backend has been sent nothing, so that the request may as well go to another. */
export function isUnsent(failure: string): boolean {
  return ruleOf(failure)?.unsent === true;
}

/** Undefined for what is no failure of an attempt. */
function ruleOf(failure: string): FailureRule | undefined {
  return Object.hasOwn(attemptFailures, failure) ? attemptFailures[failure as AttemptFailure] : undefined;
}

/** The outcome to release the lease of a failed attempt with. */
export function failureOutcome(failure: AttemptFailure, committed: boolean): Outcome {
  const { against }: FailureRule = attemptFailures[failure];
  if (against === null) return { kind: 'neutral', reason: failure };
  if (against === 'busy') return { kind: 'busy' };
  return { kind: 'failed', failure, against, committed };
}

export interface FailedAttempt {
  readonly failure: AttemptFailure;
  /** Whether a byte of an answer has gone to the client. */
  readonly committed: boolean;
  /** Whether the request has no effect but its answer (inference): only then may it run twice. */
  readonly repeatable: boolean;
  /** Different backends tried so far, this one included. */
  readonly tried: number;
  /** What is left of the request's own time; Infinity without a limit. */
  readonly remainingMs: Millis;
  /** What the backend asked for in `Retry-After`; null when it did not. It binds only that backend. */
  readonly retryAfterMs: Millis | null;
}

export type RetryDecision =
  | { readonly retry: true; readonly delayMs: Millis }
  | {
      readonly retry: false;
      readonly why: 'committed' | 'not-repeatable' | 'final' | 'attempts' | 'deadline' | 'budget';
    };

export interface Retry {
  /** A request has come; it adds to the budget. */
  arrived(now: Millis): void;
  /** A retry that is granted is taken out of the budget, whether it happens or not. */
  decide(attempt: FailedAttempt, now: Millis): RetryDecision;
  /** Takes what one retry costs out of the budget, to go on with a stream elsewhere; false when there is nothing left. */
  spend(now: Millis): boolean;
}

export function createRetry({ rng }: { readonly rng: Rng }, options: RetryOptions): Retry {
  const budget = createRetryBudget(options);
  return {
    arrived: (now) => budget.deposit(now),
    decide: (attempt, now) => decideRetry(attempt, budget, { now, rng }, options),
    spend: (now) => budget.withdraw(now),
  };
}

/** The budget is asked last, and only when everything else speaks for a retry that costs something. */
function decideRetry(
  attempt: FailedAttempt,
  budget: RetryBudget,
  { now, rng }: { readonly now: Millis; readonly rng: Rng },
  options: RetryOptions,
): RetryDecision {
  if (attempt.committed) return { retry: false, why: 'committed' };
  if (!attempt.repeatable) return { retry: false, why: 'not-repeatable' };
  if (!attemptFailures[attempt.failure].elsewhere) return { retry: false, why: 'final' };
  if (attempt.tried >= options.backends) return { retry: false, why: 'attempts' };
  const delayMs = backoff(attempt.tried, options, rng);
  if (delayMs >= attempt.remainingMs) return { retry: false, why: 'deadline' };
  if (!isUnsent(attempt.failure) && !budget.withdraw(now)) return { retry: false, why: 'budget' };
  return { retry: true, delayMs };
}

/** The first failover goes to another backend and need not wait; later ones are spread over a growing time (full jitter). */
function backoff(tried: number, { backoff, backoffLimit }: RetryOptions, rng: Rng): Millis {
  if (tried <= 1) return 0;
  return rng.next() * Math.min(backoffLimit, backoff * 2 ** (tried - 1));
}

/** Counts requests and retries over a sliding window. */
export interface RetryBudget {
  /** A request has come. */
  deposit(now: Millis): void;
  /** Takes one retry out of the budget; false when there is none left. */
  withdraw(now: Millis): boolean;
}

const SLICES = 10;

export function createRetryBudget(options: RetryOptions): RetryBudget {
  const requests = slidingCount(options.budgetWindow);
  const retries = slidingCount(options.budgetWindow);
  return {
    deposit: (now) => requests.add(now),
    withdraw(now) {
      const allowed = Math.max(options.budgetFloor, options.budget * requests.total(now));
      if (retries.total(now) + 1 > allowed) return false;
      retries.add(now);
      return true;
    },
  };
}

/** How many within the last window, to a tenth of it. */
function slidingCount(windowMs: Millis): { add(now: Millis): void; total(now: Millis): number } {
  const counts = Array.from({ length: SLICES }, () => 0);
  let newest = 0;
  function turnTo(now: Millis): number {
    const index = Math.floor(now / (windowMs / SLICES));
    const passed = Math.min(SLICES, Math.max(0, index - newest));
    for (let step = 1; step <= passed; step += 1) counts[(newest + step) % SLICES] = 0;
    if (passed === SLICES) counts.fill(0);
    newest = Math.max(newest, index);
    return newest % SLICES;
  }
  return {
    add(now) {
      const slot = turnTo(now);
      counts[slot] = counts[slot]! + 1;
    },
    total(now) {
      turnTo(now);
      return counts.reduce((sum, count) => sum + count, 0);
    },
  };
}
