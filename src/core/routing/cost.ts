/**
 * The one rule, in milliseconds: what a backend costs a job is the wait for a slot there, plus the load of its model, plus the
 * part of its prompt that has to be processed. Evicting what is in the way is priced in residency.ts. No weights to tune, but the
 * operator's own.
 */
import type { Prospect } from '../eligibility.ts';
import type { BackendId, Job, Millis } from '../types.ts';
import { crowding, type Knowledge, type Phase, type RunnerState } from './knowledge.ts';

/** What one backend would cost one job, now. */
export interface Weighed {
  readonly backend: BackendId;
  readonly runner: RunnerState;
  readonly phase: Phase;
  readonly tier: number;
  /** Whether the job could go there now. */
  readonly free: boolean;
  readonly waitMs: Millis;
  readonly loadMs: Millis;
  readonly prefillMs: Millis;
  /** Of the prompt, thought to be cached there. */
  readonly cachedTokens: number;
  readonly totalMs: Millis;
  /** The total as the operator's weight makes it look: who has twice the weight looks half as busy. */
  readonly rank: number;
}

/** How many waiting jobs have chosen to wait for a runner, ahead of the job that is weighed. */
export type Claims = ReadonlyMap<RunnerState, number>;

export interface Weighing {
  readonly knowledge: Knowledge;
  readonly claims: Claims;
}

/** What the job would cost where `runners` are, as far as the fleet lets it go there. */
export function weigh(
  job: Job,
  places: Iterable<readonly [RunnerState, Prospect]>,
  { knowledge, claims }: Weighing,
  now: Millis,
): Weighed[] {
  const weighed: Weighed[] = [];
  const remembered = knowledge.remembered(job);
  for (const [runner, prospect] of places) {
    if (runner.phase === 'draining') continue;
    weighed.push(cost(job, prospect, { knowledge, runner, remembered, ahead: claims.get(runner) ?? 0 }, now));
  }
  return weighed;
}

interface Place {
  readonly knowledge: Knowledge;
  readonly runner: RunnerState;
  readonly remembered: ReadonlyMap<RunnerState, number>;
  readonly ahead: number;
}

function cost(job: Job, prospect: Prospect, { knowledge, runner, remembered, ahead }: Place, now: Millis): Weighed {
  const { backend, phase } = runner;
  const limit = knowledge.limit(runner, now);
  const cachedTokens = Math.min(job.promptTokens, remembered.get(runner) ?? 0);
  const others = Math.min(runner.inFlight, limit - 1);
  const prefillMs = knowledge.expectedPrefillMs(backend, job.promptTokens - cachedTokens, others);
  const loadMs = expectedLoad(knowledge, runner, now);
  const free = prospect.free && phase !== 'loading' && runner.inFlight < limit;
  const turns = Math.max(free ? 0 : 1, runner.inFlight + ahead - limit + 1);
  const waitMs = free || phase === 'loading' ? 0 : (turns * knowledge.expectedHoldMs(runner)) / limit;
  const totalMs = waitMs + loadMs + prefillMs;
  const { weight, inFlight } = prospect;
  const distortion = weight === 1 ? 0 : crowding(others / weight) / crowding(others) - 1;
  // The last term is a millisecond per request, and decides only where all else is equal.
  const rank = totalMs + prefillMs * distortion + inFlight / weight;
  return {
    backend: backend.id,
    runner,
    phase,
    tier: backend.tier,
    free,
    waitMs,
    loadMs,
    prefillMs,
    cachedTokens,
    totalMs,
    rank,
  };
}

/** What is left of a load; a whole one where nobody knows whether the model is in memory. */
function expectedLoad(knowledge: Knowledge, runner: RunnerState, now: Millis): Millis {
  if (runner.phase === 'ready') return 0;
  const whole = knowledge.expectedLoadMs(runner.model, runner);
  return runner.phase === 'loading' ? Math.max(whole / 10, runner.since + whole - now) : whole;
}
