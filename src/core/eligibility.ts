/** Who of the fleet may serve a job now, or why nobody may. */
import type { Wake } from './backend.ts';
import { isAsleep, isWarm, mayServe, trialFree, useFor, type Entry } from './fleet-entry.ts';
import { weightShare, type HealthOptions } from './health.ts';
import type { Candidate } from './policies/policy.ts';
import type { BackendId, Job, Millis, NonEmpty } from './types.ts';

export type Eligibility =
  | { readonly kind: 'candidates'; readonly candidates: NonEmpty<Candidate> }
  /**
   * `unknown-model`: every backend is known not to have it, or not allowed to serve it. `tried`: only backends that were
   * tried already could. `no-backend`: those that could are all down, ejected or draining. `asleep`: the same, and one of
   * them can be woken, or is. `full`: they are all busy.
   */
  | { readonly kind: 'none'; readonly reason: 'unknown-model' | 'tried' | 'no-backend' | 'asleep' | 'full' };

type Reason = Extract<Eligibility, { kind: 'none' }>['reason'];

/** Whether some backend may serve the job now, or why none may. */
export type Outlook = 'free' | Reason;

/** A backend that may serve a job: now, or when it has a slot. */
export interface Prospect extends Pick<Candidate, 'id' | 'weight' | 'inFlight'> {
  /** Whether it could take the job now. */
  readonly free: boolean;
  /** Ejected: to be used only where no other backend may serve the job. */
  readonly spare: boolean;
}

/** What one pass over the fleet finds. */
interface Survey {
  /** May serve it now. */
  readonly free: Entry[];
  /** Will, when a slot or a trial is free again. */
  readonly full: Entry[];
  /** Ejected, and otherwise free. */
  readonly spare: Entry[];
  /** How many may have the model, are not tried yet, of those are not down, are in use (tried or not), are ejected, could be woken. */
  serving: number;
  untried: number;
  hopeful: number;
  inUse: number;
  ejected: number;
  asleep: number;
}

export function eligibility(
  entries: readonly Entry[],
  { job, tried }: { readonly job: Job; readonly tried: readonly BackendId[] },
  now: Millis,
  options: HealthOptions,
): Eligibility {
  const found = survey(entries, job, tried, now);
  // An ejection never takes the last backend that can serve a model.
  const chosen = found.inUse > 0 ? found.free : found.spare;
  const candidates = chosen.map((entry) => candidateOf(entry, job, now, options));
  if (isNonEmpty(candidates)) return { kind: 'candidates', candidates };
  return { kind: 'none', reason: reasonFor(found, entries.length) };
}

/** As `eligibility`, without the candidates: ends with the first that could take it. */
export function outlook(
  entries: readonly Entry[],
  { job, tried }: { readonly job: Job; readonly tried: readonly BackendId[] },
  now: Millis,
): Outlook {
  for (const entry of entries) {
    const use = entry.inFlight < entry.slots && now >= entry.busyUntil ? useFor(entry, job.model) : 'no';
    if (use === 'no' || use === 'last-resort' || tried.includes(entry.spec.id)) continue;
    if (use === 'trial' && !trialFree(entry, job.model, now)) continue;
    if (mayServe(entry, job.model, job.only)) return 'free';
  }
  const found = survey(entries, job, tried, now);
  return found.inUse === 0 && found.spare.length > 0 ? 'free' : reasonFor(found, entries.length);
}

/** One backend as `prospects` would name it, were it the only one; null when it may not serve the job. */
export function prospect(
  entry: Entry,
  { job, tried }: { readonly job: Job; readonly tried: readonly BackendId[] },
  now: Millis,
  options: HealthOptions,
): Prospect | null {
  if (!mayServe(entry, job.model, job.only) || tried.includes(entry.spec.id)) return null;
  const use = useFor(entry, job.model);
  if (use === 'no') return null;
  const hasRoom = entry.inFlight < entry.slots && now >= entry.busyUntil;
  const free = hasRoom && (use !== 'trial' || trialFree(entry, job.model, now));
  return prospectOf(entry, now, { options, free, spare: use === 'last-resort' });
}

/** Every backend that may serve the job now or later, without those it has been tried at. */
export function prospects(
  entries: readonly Entry[],
  { job, tried }: { readonly job: Job; readonly tried: readonly BackendId[] },
  now: Millis,
  options: HealthOptions,
): readonly Prospect[] {
  const found = survey(entries, job, tried, now);
  const free = found.inUse > 0 ? found.free : found.spare;
  const full = found.inUse > 0 ? found.full : [];
  return [
    ...free.map((entry) => prospectOf(entry, now, { options, free: true, spare: found.inUse === 0 })),
    ...full.map((entry) => prospectOf(entry, now, { options, free: false, spare: false })),
  ];
}

/** A backend that is down and can be woken, or is being woken. */
export interface Sleeper {
  readonly id: BackendId;
  readonly wake: Wake;
  readonly isWaking: boolean;
}

/** Those that may serve the job once they are awake: first those that are known to have its model, then by tier. */
export function sleepers(
  entries: readonly Entry[],
  { job, tried }: { readonly job: Job; readonly tried: readonly BackendId[] },
  now: Millis,
): readonly Sleeper[] {
  return entries
    .filter((entry) => isAsleep(entry, now) && !tried.includes(entry.spec.id) && mayServe(entry, job.model, job.only))
    .sort((a, b) => ignorance(a) - ignorance(b) || (a.spec.tier ?? 1) - (b.spec.tier ?? 1))
    .map(({ spec, wakingUntil }) => ({ id: spec.id, wake: spec.wake!, isWaking: wakingUntil !== null }));
}

function ignorance({ installedNames }: Entry): number {
  return installedNames === null ? 1 : 0;
}

function survey(entries: readonly Entry[], job: Job, tried: readonly BackendId[], now: Millis): Survey {
  const counts = { serving: 0, untried: 0, hopeful: 0, inUse: 0, ejected: 0, asleep: 0 };
  const found: Survey = { free: [], full: [], spare: [], ...counts };
  for (const entry of entries) {
    if (!mayServe(entry, job.model, job.only)) continue;
    found.serving += 1;
    const use = useFor(entry, job.model);
    const inUse = use === 'yes' || use === 'trial';
    if (inUse) found.inUse += 1;
    if (tried.includes(entry.spec.id)) continue;
    found.untried += 1;
    if (use === 'last-resort') found.ejected += 1;
    if (use === 'no' && isAsleep(entry, now)) found.asleep += 1;
    if (use === 'no') continue;
    found.hopeful += 1;
    const hasRoom = entry.inFlight < entry.slots && now >= entry.busyUntil;
    if (!inUse) {
      if (hasRoom) found.spare.push(entry);
    } else if (hasRoom && (use === 'yes' || trialFree(entry, job.model, now))) {
      found.free.push(entry);
    } else {
      found.full.push(entry);
    }
  }
  return found;
}

function reasonFor(found: Survey, fleetSize: number): Reason {
  if (found.serving === 0) return fleetSize === 0 ? 'no-backend' : 'unknown-model';
  // With its only other choices down, a job that has failed once hears of that now rather than waits for them.
  const isHopeless = found.hopeful === 0 && found.asleep === 0;
  if (found.untried === 0 || (found.untried < found.serving && isHopeless)) return 'tried';
  if (found.inUse > 0 || found.ejected > 0) return 'full';
  return found.asleep > 0 ? 'asleep' : 'no-backend';
}

function candidateOf(entry: Entry, job: Job, now: Millis, options: HealthOptions): Candidate {
  return {
    id: entry.spec.id,
    weight: entry.spec.weight * weightShare(entry.credit.trust, now, options),
    slots: entry.slots,
    inFlight: entry.inFlight,
    warm: isWarm(entry, job.model),
  };
}

function prospectOf(
  entry: Entry,
  now: Millis,
  { options, free, spare }: { readonly options: HealthOptions; readonly free: boolean; readonly spare: boolean },
): Prospect {
  return {
    id: entry.spec.id,
    weight: entry.spec.weight * weightShare(entry.credit.trust, now, options),
    inFlight: entry.inFlight,
    free,
    spare,
  };
}

function isNonEmpty<T>(list: readonly T[]): list is NonEmpty<T> {
  return list.length > 0;
}
