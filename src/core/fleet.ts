/**
 * The one mutable table: backends, what is known of them, and who holds their slots. Probers, breakers and the operator
 * report observations; leases report outcomes; `conclude` alone says whether a backend may be used.
 */
import assert from 'node:assert/strict';
import { AUTO_SLOTS, type BackendSpec } from './backend.ts';
import type { Emit } from './events.ts';
import {
  eligibility,
  outlook,
  prospect,
  prospects,
  sleepers,
  type Eligibility,
  type Outlook,
  type Prospect,
  type Sleeper,
} from './eligibility.ts';
import { viewOf, type BackendView } from './backend-view.ts';
import {
  conclude,
  isWarm,
  mayServe,
  modelCredit,
  newEntry,
  nextChange,
  respecify,
  settleWake,
  useFor,
  type Credit,
  type Entry,
} from './fleet-entry.ts';
import { takeIn } from './fleet-reports.ts';
import { connectionRefused, judged, trustAt, type Evidence, type HealthOptions } from './health.ts';
import type { Observation } from './observation.ts';
import { isShared } from './retry.ts';
import type { BackendId, Clock, Job, Millis, ModelName, Outcome, Rng, Timer } from './types.ts';

export type { BackendView };

/** One slot of one backend, taken. Given back by `give`, once. */
export interface Hold {
  readonly backend: BackendId;
  readonly warm: boolean;
}

export interface Fleet {
  /** Replaces the set of backends. What was learnt of an id stays unless its URL changed; a removed one ends its leases. */
  set(specs: readonly BackendSpec[]): void;
  /** Ignored for ids that are not, or no longer, configured: reports may arrive late. */
  observe(id: BackendId, observation: Observation): void;
  eligible(job: Job, tried: readonly BackendId[]): Eligibility;
  /** As `eligible`, for who only wants to know whether there is one. */
  outlook(job: Job, tried: readonly BackendId[]): Outlook;
  /** One backend as `prospects` names it; those it has to be preferred to are not looked for. */
  prospect(id: BackendId, job: Job, tried: readonly BackendId[]): Prospect | null;
  /** As `eligible`, with those that are only full at the moment. Empty when nobody will serve it. */
  prospects(job: Job, tried: readonly BackendId[]): readonly Prospect[];
  /** Takes a slot. The backend must be one that `eligible` has just named. */
  take(id: BackendId, job: Job): Hold;
  /** The first byte of the answer came: enough to end a trial well. */
  answered(hold: Hold): void;
  /** False for a failure that is no news: part of one that was counted before, or of what its backend is ejected for. */
  give(hold: Hold, outcome: Outcome): boolean;
  view(): readonly BackendView[];
  /** Slots of usable backends that may serve the job, busy or not. */
  capacityFor(job: Job): number;
  /** Backends that may serve the job once they are awake, best first. */
  sleepers(job: Job, tried: readonly BackendId[]): readonly Sleeper[];
  /** Whether any backend can be woken at all. */
  readonly mayWake: boolean;
  /** Calls back after every change that may let a waiting job go or make it hopeless. Returns the way to stop. */
  subscribe(listener: () => void): () => void;
  /** Count up whenever a list made of the inventories, or of what is in memory, may have changed; and who may be used. */
  readonly revision: { readonly inventory: number; readonly residents: number; readonly use: number };
  /** How many leases backends may hold whose slots are `auto`: Infinity when the planner keeps count itself. */
  setAutoSlots(slots: number): void;
  /** From the next evidence on; what was concluded stays. */
  setOptions(options: HealthOptions): void;
  /** Cancels its timers. */
  close(): void;
}

export interface FleetDependencies {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly emit: Emit;
}

interface HeldSlot extends Hold {
  readonly entry: Entry;
  readonly model: ModelName | null;
  /** Until the trial is decided, which its first byte may do. */
  onTrial: boolean;
  readonly since: Millis;
  given: boolean;
}

export function createFleet(dependencies: FleetDependencies, options: HealthOptions): Fleet {
  return new Table(dependencies, options);
}

class Table implements Fleet {
  readonly revision = { inventory: 0, residents: 0, use: 0 };
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #emit: Emit;
  #options: HealthOptions;
  #autoSlots = AUTO_SLOTS;
  #mayWake = false;
  /** In the configured order. */
  #entries: readonly Entry[] = [];
  #byId: ReadonlyMap<BackendId, Entry> = new Map();
  /** Removed, with leases that have not ended. */
  readonly #leaving = new Set<Entry>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Map<Entry, Timer>();

  constructor({ clock, rng, emit }: FleetDependencies, options: HealthOptions) {
    this.#clock = clock;
    this.#rng = rng;
    this.#emit = emit;
    this.#options = options;
  }

  set(specs: readonly BackendSpec[]): void {
    assert(new Set(specs.map((spec) => spec.id)).size === specs.length, 'backend ids are unique');
    const before = new Map(this.#entries.map((entry) => [entry.spec.id, entry]));
    this.#entries = specs.map((spec) => {
      const current = before.get(spec.id);
      // One that moved away and back has its leases of before, whatever was there in between.
      const known = current?.spec.url === spec.url ? current : this.#returning(spec);
      if (known === undefined) return newEntry(spec, this.#clock.now(), this.#autoSlots);
      if (known === current) before.delete(spec.id);
      this.#leaving.delete(known);
      known.removed = false;
      respecify(known, spec, this.#autoSlots);
      return known;
    });
    this.#mayWake = specs.some(({ wake }) => wake !== undefined);
    this.#byId = new Map(this.#entries.map((entry) => [entry.spec.id, entry]));
    for (const gone of before.values()) {
      gone.removed = true;
      if (gone.inFlight > 0) this.#leaving.add(gone);
      this.#settle(gone);
    }
    for (const entry of this.#entries) this.#settle(entry);
    this.revision.inventory += 1;
    this.revision.residents += 1;
    this.revision.use += 1;
    this.#changed();
  }

  observe(id: BackendId, observation: Observation): void {
    const entry = this.#find(id);
    if (entry === undefined) return;
    const told = takeIn(entry, observation, { now: this.#clock.now(), options: this.#options, emit: this.#emit });
    for (const list of told) this.revision[list] += 1;
    this.#settle(entry);
    this.#changed();
  }

  eligible(job: Job, tried: readonly BackendId[]): Eligibility {
    return eligibility(this.#entries, { job, tried }, this.#clock.now(), this.#options);
  }

  outlook(job: Job, tried: readonly BackendId[]): Outlook {
    return outlook(this.#entries, { job, tried }, this.#clock.now());
  }

  prospect(id: BackendId, job: Job, tried: readonly BackendId[]): Prospect | null {
    const entry = this.#find(id);
    return entry === undefined ? null : prospect(entry, { job, tried }, this.#clock.now(), this.#options);
  }

  prospects(job: Job, tried: readonly BackendId[]): readonly Prospect[] {
    return prospects(this.#entries, { job, tried }, this.#clock.now(), this.#options);
  }

  setAutoSlots(slots: number): void {
    this.#autoSlots = slots;
    for (const entry of this.#entries) respecify(entry, entry.spec, slots);
    this.#changed();
  }

  take(id: BackendId, job: Job): Hold {
    const entry = this.#find(id);
    assert(entry !== undefined, 'a slot is taken of a backend in the fleet');
    assert(entry.inFlight < entry.slots, 'a backend holds no more leases than slots');
    const use = useFor(entry, job.model);
    assert(use !== 'no', 'a slot is taken of a backend that may be used');
    const { model } = job;
    const onTrial = use !== 'yes';
    if (onTrial) this.#beginTrial(entry, model);
    entry.inFlight += 1;
    if (model !== null) entry.inFlightByModel.set(model, (entry.inFlightByModel.get(model) ?? 0) + 1);
    const [warm, since] = [isWarm(entry, model), this.#clock.now()];
    const hold: HeldSlot = { backend: id, warm, entry, model, onTrial, since, given: false };
    return hold;
  }

  answered(hold: Hold): void {
    const held = hold as HeldSlot;
    if (!held.onTrial || held.given) return;
    this.#endTrial(held);
    this.#succeeded(held);
    held.onTrial = false;
    this.#settle(held.entry);
    this.#changed();
  }

  give(hold: Hold, outcome: Outcome): boolean {
    const held = hold as HeldSlot;
    assert(!held.given, 'a slot is given back once');
    held.given = true;
    const { entry, model } = held;
    entry.inFlight -= 1;
    if (model !== null) countDown(entry.inFlightByModel, model);
    if (entry.removed && entry.inFlight === 0) this.#leaving.delete(entry);
    if (held.onTrial) this.#endTrial(held);
    if (outcome.kind === 'done') this.#succeeded(held);
    const isNews = outcome.kind !== 'failed' || this.#failed(held, outcome);
    if (outcome.kind === 'busy') entry.busyUntil = this.#clock.now() + this.#options.busyPause;
    // The usual end of a request changes nothing but the counts.
    if (outcome.kind !== 'done' || held.onTrial) this.#settle(entry);
    return isNews;
  }

  view(): readonly BackendView[] {
    return [...this.#entries, ...this.#leaving].map(viewOf);
  }

  sleepers(job: Job, tried: readonly BackendId[]): readonly Sleeper[] {
    return this.mayWake ? sleepers(this.#entries, { job, tried }, this.#clock.now()) : [];
  }

  get mayWake(): boolean {
    return this.#mayWake;
  }

  capacityFor(job: Job): number {
    let slots = 0;
    for (const entry of this.#entries) {
      if (entry.use !== 'no' && mayServe(entry, job.model, job.only)) slots += entry.slots;
    }
    return slots;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  setOptions(options: HealthOptions): void {
    this.#options = options;
  }

  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #find(id: BackendId): Entry | undefined {
    return this.#byId.get(id);
  }

  #returning(spec: BackendSpec): Entry | undefined {
    return [...this.#leaving].find((entry) => entry.spec.id === spec.id && entry.spec.url === spec.url);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Lets time and evidence take effect on one row, tells of a change of state, and sees to the next change by time. */
  #settle(entry: Entry): void {
    const now = this.#clock.now();
    entry.credit.trust = trustAt(entry.credit.trust, now);
    for (const [model, credit] of entry.models) this.#settleModel(entry, model, credit, now);
    settleWake(entry, now);
    const { state: from, use } = entry;
    Object.assign(entry, conclude(entry));
    if (entry.use !== use) this.revision.use += 1;
    const { state: to, reason } = entry;
    if (to !== from) {
      this.revision.inventory += 1;
      this.revision.residents += 1;
      this.#emit({ kind: 'backend-state', backend: entry.spec.id, from, to, reason });
    }
    this.#timers.get(entry)?.cancel();
    this.#timers.delete(entry);
    const wakeAt = entry.removed ? null : nextChange(entry, now);
    if (wakeAt !== null) {
      const wake = (): void => {
        this.revision.use += 1;
        this.#settle(entry);
        this.#changed();
      };
      this.#timers.set(entry, this.#clock.after(wakeAt - now, wake));
    }
  }

  #settleModel({ spec }: Entry, model: ModelName, credit: Credit, now: Millis): void {
    credit.trust = trustAt(credit.trust, now);
    const { standing } = credit.trust;
    if (standing.kind !== 'ejected') credit.wedged = false;
    const { told = 'trusted' } = credit;
    if (standing.kind === told) return;
    credit.told = standing.kind;
    const reason = standing.kind === 'ejected' ? standing.reason : '';
    this.#emit({ kind: 'model-standing', backend: spec.id, model, from: told, to: standing.kind, reason });
  }

  #beginTrial(entry: Entry, model: ModelName | null): void {
    const until = this.#clock.now() + this.#options.probationTimeout;
    if (entry.use !== 'yes') entry.credit.trialUntil = until;
    const credit = model === null ? undefined : entry.models.get(model);
    if (credit !== undefined && credit.trust.standing.kind !== 'trusted') credit.trialUntil = until;
    this.#settle(entry);
  }

  #endTrial({ entry, model }: HeldSlot): void {
    entry.credit.trialUntil = null;
    const credit = model === null ? undefined : entry.models.get(model);
    if (credit !== undefined) credit.trialUntil = null;
  }

  #succeeded({ entry, model, onTrial }: HeldSlot): void {
    const evidence: Evidence = { verdict: 'success', onTrial, reason: '' };
    this.#judge(entry.credit, evidence);
    const credit = model === null ? undefined : entry.models.get(model);
    if (credit !== undefined) this.#judge(credit, evidence);
  }

  /** Whether it was news. */
  #failed({ entry, model, onTrial, since }: HeldSlot, outcome: Outcome & { kind: 'failed' }): boolean {
    entry.lastError = outcome.failure;
    this.revision.use += 1;
    const lost = isShared(outcome.failure) ? { lostSince: since } : {};
    const evidence: Evidence = { verdict: 'failure', onTrial, reason: outcome.failure, ...lost };
    if (outcome.against === 'model' && model !== null)
      return this.#judge(modelCredit(entry, model, this.#clock.now()), evidence);
    const isNews = this.#judge(entry.credit, evidence);
    if (this.#options.refusedIsDown && outcome.failure === 'backend-refused') {
      entry.liveness = connectionRefused('it refused a connection');
    }
    return isNews;
  }

  /** Whether it was news. */
  #judge(credit: Credit, evidence: Evidence): boolean {
    const before = credit.trust;
    credit.trust = judged(before, evidence, { now: this.#clock.now(), rng: this.#rng }, this.#options);
    return credit.trust !== before;
  }
}

function countDown(counts: Map<ModelName, number>, model: ModelName): void {
  const left = (counts.get(model) ?? 0) - 1;
  if (left > 0) counts.set(model, left);
  else counts.delete(model);
}
