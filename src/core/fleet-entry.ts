/** One row of the fleet's table, and what can be concluded from a row alone. */
import { modelFilter, slotsOf, type BackendSpec } from './backend.ts';
import type { BackendState, BreakerState } from './events.ts';
import { newTrust, unprobed, type Liveness, type Trust } from './health.ts';
import type { BackendId, InstalledModel, Millis, ModelName, ResidentModel } from './types.ts';

/**
 * Whether a backend may be used; the one answer. `yes`: up to its slots. `trial`: one request at a time, which decides.
 * `last-resort`: only for a model that no `yes` or `trial` backend can serve. `no`: not at all.
 */
export type Use = 'yes' | 'trial' | 'last-resort' | 'no';

/** A trust, and the trial it is waiting for. */
export interface Credit {
  trust: Trust;
  /** When the permit of the running trial expires; null when there is none. */
  trialUntil: Millis | null;
  /** Ejected because it hangs: not even the last resort, because who is sent there waits in vain and keeps it from being healed. */
  wedged?: boolean;
  /** Why it is suspected of hanging: then it is the last resort, although nothing has been proved. */
  suspicion?: string | null;
  /** The standing that was last told of; `trusted` when absent. */
  told?: Trust['standing']['kind'];
}

export interface Entry {
  spec: BackendSpec;
  slots: number;
  /** Whether the spec's `models` allow a model. Remembered by `allows`. */
  filter: ((model: ModelName) => boolean) | null;
  readonly allowed: Map<ModelName, boolean>;
  /** No longer configured; only its leases keep it. */
  removed: boolean;

  admin: 'active' | 'draining';
  liveness: Liveness;
  readonly credit: Credit;
  readonly models: Map<ModelName, Credit>;
  breaker: BreakerState;
  breakerReason: string;
  /** Its own queue was full; nothing goes there before. */
  busyUntil: Millis;
  /** It has been woken and may take until then to answer; null when it has not. */
  wakingUntil: Millis | null;
  /** It did not wake when it was woken; it is not woken again before. */
  sleepsUntil: Millis;

  /** Follow from the fields above by `conclude`, and from nothing else. */
  state: BackendState;
  use: Use;
  reason: string;

  version: string | null;
  installed: readonly InstalledModel[] | null;
  installedNames: ReadonlySet<ModelName> | null;
  resident: readonly ResidentModel[] | null;
  residentAt: Millis;
  residentNames: ReadonlySet<ModelName>;

  inFlight: number;
  readonly inFlightByModel: Map<ModelName, number>;
  /** The last failure told of it, a sentence; null when there was none. */
  lastError: string | null;
}

export function newEntry(spec: BackendSpec, now: Millis, autoSlots: number): Entry {
  return {
    spec,
    slots: slotsOf(spec, autoSlots),
    filter: spec.models === null ? null : modelFilter(spec.models),
    allowed: new Map(),
    removed: false,
    admin: 'active',
    liveness: unprobed,
    credit: { trust: newTrust(now), trialUntil: null },
    models: new Map(),
    breaker: 'closed',
    breakerReason: '',
    busyUntil: 0,
    wakingUntil: null,
    sleepsUntil: 0,
    state: 'unknown',
    use: 'no',
    reason: 'not probed yet',
    version: null,
    installed: null,
    installedNames: null,
    resident: null,
    residentAt: 0,
    residentNames: new Set(),
    inFlight: 0,
    inFlightByModel: new Map(),
    lastError: null,
  };
}

/** The configuration changed, the machine did not: everything learnt stays. */
export function respecify(entry: Entry, spec: BackendSpec, autoSlots: number): void {
  entry.spec = spec;
  entry.slots = slotsOf(spec, autoSlots);
  entry.filter = spec.models === null ? null : modelFilter(spec.models);
  entry.allowed.clear();
}

export interface Conclusion {
  readonly state: BackendState;
  readonly use: Use;
  readonly reason: string;
}

/** The only place that turns evidence into usability. */
export function conclude(entry: Entry): Conclusion {
  if (entry.removed) return { state: 'draining', use: 'no', reason: 'removed from the configuration' };
  if (entry.admin === 'draining') return { state: 'draining', use: 'no', reason: 'drained by the operator' };
  if (entry.wakingUntil !== null) return { state: 'waking', use: 'no', reason: 'woken, and has not answered yet' };
  if (entry.liveness.verdict === 'unknown') return { state: 'unknown', use: 'no', reason: 'not probed yet' };
  if (entry.liveness.verdict === 'down') return { state: 'down', use: 'no', reason: entry.liveness.reason };
  if (entry.breaker !== 'closed') {
    // Half-open too: a probe is the trial then, because a request might load a model for a minute.
    return { state: 'ejected', use: 'no', reason: `breaker ${entry.breaker}: ${entry.breakerReason}` };
  }
  const { standing } = entry.credit.trust;
  if (standing.kind === 'ejected') return { state: 'ejected', use: 'last-resort', reason: standing.reason };
  if (standing.kind === 'probation') return { state: 'probation', use: 'trial', reason: 'its ejection is over' };
  return { state: 'up', use: 'yes', reason: '' };
}

/** Ends a waking: well when it answers, and when its time is over, with a rest as long as that time was. */
export function settleWake(entry: Entry, now: Millis): void {
  const { liveness, spec, wakingUntil } = entry;
  if (wakingUntil === null) return;
  const isAwake = liveness.verdict === 'up';
  if (!isAwake && now < wakingUntil && spec.wake !== undefined && entry.admin === 'active') return;
  entry.wakingUntil = null;
  if (!isAwake && spec.wake !== undefined) entry.sleepsUntil = now + spec.wake.wait;
}

/** Whether it is down and a packet may change that, or has been sent. */
export function isAsleep(entry: Entry, now: Millis): boolean {
  if (entry.spec.wake === undefined || entry.removed || entry.admin !== 'active') return false;
  return entry.wakingUntil !== null || (entry.liveness.verdict === 'down' && now >= entry.sleepsUntil);
}

/** Models whose failures are remembered per backend; the oldest is forgotten first. */
const MODEL_CREDITS = 256;

/** What is known of the model there, made when there is nothing. */
export function modelCredit(entry: Entry, model: ModelName, now: Millis): Credit {
  let credit = entry.models.get(model);
  if (credit === undefined) {
    credit = { trust: newTrust(now), trialUntil: null };
    const oldest = entry.models.keys().next();
    if (entry.models.size >= MODEL_CREDITS && oldest.done !== true) entry.models.delete(oldest.value);
    entry.models.set(model, credit);
  }
  return credit;
}

/** `use`, narrowed by what is known of the model there. */
export function useFor(entry: Entry, model: ModelName | null): Use {
  if (entry.use === 'no' || model === null || entry.models.size === 0) return entry.use;
  const credit = entry.models.get(model);
  if (credit === undefined) return entry.use;
  if (credit.trust.standing.kind === 'trusted') return typeof credit.suspicion === 'string' ? 'last-resort' : entry.use;
  if (credit.trust.standing.kind === 'ejected') return credit.wedged === true ? 'no' : 'last-resort';
  return entry.use === 'last-resort' ? 'last-resort' : 'trial';
}

/** Whether a trial may begin: neither the backend nor the model there has one running. */
export function trialFree(entry: Entry, model: ModelName | null, now: Millis): boolean {
  if (entry.credit.trialUntil !== null && now < entry.credit.trialUntil) return false;
  const modelTrial = model === null ? undefined : entry.models.get(model)?.trialUntil;
  return modelTrial === undefined || modelTrial === null || now >= modelTrial;
}

const ALLOWED_LIMIT = 1000;

/** Whether it may ever serve the model: not forbidden by its spec, and not known to lack it. */
export function mayServe(entry: Entry, model: ModelName | null, only: readonly BackendId[] | undefined): boolean {
  if (only !== undefined && !only.includes(entry.spec.id)) return false;
  if (model === null) return true;
  if (entry.installedNames !== null && !entry.installedNames.has(model)) return false;
  return allows(entry, model);
}

export function allows(entry: Entry, model: ModelName): boolean {
  if (entry.filter === null) return true;
  let allowed = entry.allowed.get(model);
  if (allowed === undefined) {
    allowed = entry.filter(model);
    // Clients may ask for any name; what is remembered of them stays bounded.
    if (entry.allowed.size >= ALLOWED_LIMIT) entry.allowed.clear();
    entry.allowed.set(model, allowed);
  }
  return allowed;
}

/** Whether the model is known to be in its memory. */
export function isWarm(entry: Entry, model: ModelName | null): boolean {
  return model !== null && entry.residentNames.has(model);
}

/** When time alone will next change who may be used; null when it will not. */
export function nextChange(entry: Entry, now: Millis): Millis | null {
  let next = Math.min(entry.busyUntil > now ? entry.busyUntil : Infinity, entry.wakingUntil ?? Infinity);
  for (const credit of [entry.credit, ...entry.models.values()]) {
    const { standing } = credit.trust;
    if (standing.kind === 'ejected') next = Math.min(next, standing.until);
    if (credit.trialUntil !== null && credit.trialUntil > now) next = Math.min(next, credit.trialUntil);
  }
  return next === Infinity ? null : next;
}
