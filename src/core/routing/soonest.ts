/**
 * The planner of the policy `soonest`. Each job goes where its first token is predicted soonest. When no slot is free there, it
 * waits in the gateway and is thought over at every event. What is in memory where, the gateway decides itself (residency.ts).
 */
import { isInUse } from '../backend-view.ts';
import { Deadlines } from '../deadlines.ts';
import type { Prospect } from '../eligibility.ts';
import type { Arrival, Dispatch, FleetReader, Intent, LeaseWatch, Placement, Planner } from '../planner.ts';
import type { Candidate, Policy } from '../policies/policy.ts';
import { isCloudModel } from '../model-name.ts';
import type { Lane, Waiter, WaitingJobs } from '../queue.ts';
import type { BackendId, Job, Millis, NonEmpty, Rng, RouteReason, RunnerKey } from '../types.ts';
import { weigh, type Weighed } from './cost.ts';
import { DecisionLog, held, placed, sent, type Decision } from './decisions.ts';
import { Demands } from './demand.ts';
import { Headroom, type Room } from './headroom.ts';
import { Knowledge, runnerKey, type Learnt, type RunnerState } from './knowledge.ts';
import { LeaseBook } from './lease-book.ts';
import { Residency, type Plan, type Wanted } from './residency.ts';

export interface SoonestOptions {
  /** A job that has waited this long no longer minds whom its model pushes out. */
  readonly patience: Millis;
  /** The part of a runner's slots that is kept from whoever has most of them. */
  readonly headroom: number;
  /** Prompts a backend is thought to remember. */
  readonly prompts: number;
  /** Decisions that can be asked for. */
  readonly decisions: number;
}

/** A job that waits by its own choice, although it could go: since when, and for how long at most. */
interface Hold {
  readonly since: Millis;
  readonly budgetMs: Millis;
}

/** A runner somebody waits for. */
interface Want {
  readonly key: RunnerKey;
  readonly job: Job;
  /** When to think of loading it again, although nothing has happened. */
  deadline: Millis;
}

/** What one round of `next` goes by. */
interface Round<W extends Waiter> {
  readonly waiting: WaitingJobs<W>;
  readonly fleet: FleetReader;
  /** How many jobs considered in it would rather wait for a runner. */
  readonly claims: Map<RunnerState, number>;
}

/** A runner, and what the fleet says of its backend for a job. */
type Place = readonly [RunnerState, Prospect];

/** Waiting jobs of one runner that are thought over at one event: those behind them have no choice yet. */
const CONSIDERED = 64;

/** Runners whose loading is thought of at one event; the others follow at once, in a turn of their own. */
const AT_ONCE = 1;

/** Runners that have been waited for the longest; they are thought of first when a place comes free. */
const URGENT = 8;

/** How long no wanted runner goes without being thought of. */
const RECONSIDERED_MS = 1000;

/** After a failed load, jobs go to the backend themselves for so long, so that clients get its own words. */
const FAILED_MS = 10_000;

export class Soonest implements Planner, Policy {
  readonly countsSlots = true;
  readonly knowledge: Knowledge;
  readonly #options: SoonestOptions;
  readonly #rng: Rng;
  readonly #demands = new Demands();
  readonly #headroom: Headroom;
  readonly #residency: Residency;
  readonly #leases: LeaseBook;
  readonly #decisions: DecisionLog;
  readonly #held = new WeakMap<Job, Hold>();
  readonly #wants = new Map<RunnerKey, Want>();
  readonly #due = new Deadlines<Want>();
  /** The last load of a runner that failed. */
  readonly #failures = new Map<RunnerKey, { readonly backend: BackendId; readonly at: Millis }>();
  /** Runners whose waiting jobs may have somewhere to go since they were last thought over. */
  readonly #dirty = new Set<RunnerKey>();
  /** The first time at which a job that holds may go after all. */
  #holdUntil: Millis = Infinity;
  #loads = true;
  #seen = { residents: -1, inventory: -1, use: -1 };
  #queue: WaitingJobs | null = null;

  constructor(options: SoonestOptions, rng: Rng) {
    this.#options = options;
    this.#rng = rng;
    this.#headroom = new Headroom(options.headroom);
    this.knowledge = new Knowledge(options.prompts);
    this.#residency = new Residency(this.knowledge, this.#demands, (runner) => this.#waitingFor(runner));
    this.#leases = new LeaseBook(this.knowledge, (runner, now) => this.#runnerChanged(runner, now));
    this.#decisions = new DecisionLog(options.decisions);
  }

  /** Newest first. */
  decisions(): readonly Decision[] {
    return this.#decisions.list();
  }

  learnt(): Learnt {
    return this.knowledge.learnt();
  }

  restore(learnt: Learnt, now: Millis): void {
    this.knowledge.restore(learnt, now);
  }

  begin({ performs }: { readonly performs: boolean }): void {
    this.#loads = performs;
  }

  /** The cheapest of the candidates as far as anything is known of them, without holding any job. */
  pick(candidates: NonEmpty<Candidate>, job: Job, now: Millis): Candidate {
    const places = candidates.map((candidate): Place => {
      return [this.knowledge.runner(candidate.id, job, now), { ...candidate, free: true, spare: false }];
    });
    const best = this.#cheapest(weigh(job, places, { knowledge: this.knowledge, claims: new Map() }, now));
    return candidates.find(({ id }) => id === best?.backend) ?? candidates[0];
  }

  slotsFor(job: Job, now: Millis): number {
    let slots = 0;
    for (const runner of this.knowledge.serving(job)) {
      if (runner.backend.usable && runner.phase !== 'draining') slots += this.knowledge.limit(runner, now);
    }
    return Math.max(1, slots);
  }

  guesses(job: Job): boolean {
    if (!needsRunner(job)) return false;
    let isAnywhere = false;
    for (const { backend, slots } of this.knowledge.serving(job)) {
      if (!backend.usable) continue;
      isAnywhere = true;
      if (backend.parallel === null && !slots.isKnown) return true;
    }
    return !isAnywhere;
  }

  came(job: Job, tried: readonly BackendId[], now: Millis): void {
    if (tried.length === 0 && needsRunner(job)) this.#demands.came(keyOf(job), now);
  }

  queued(job: Job, now: Millis): void {
    const key = keyOf(job);
    let want = this.#wants.get(key);
    if (want === undefined) {
      want = { key, job, deadline: now };
      this.#wants.set(key, want);
      this.#due.add(want);
    }
    this.#isDue(want, Math.min(want.deadline, now));
    this.#dirty.add(key);
  }

  place(arrival: Arrival, fleet: FleetReader, now: Millis): Placement | null {
    this.#learn(fleet, now);
    if (!needsRunner(arrival.job)) return anywhere(fleet.prospects(arrival.job, arrival.tried));
    return this.#choose(arrival, this.#places(arrival, fleet, now), new Map(), now);
  }

  next<W extends Waiter>(waiting: WaitingJobs<W>, fleet: FleetReader, now: Millis): Dispatch<W> | null {
    this.#queue = waiting;
    this.#learn(fleet, now);
    if (this.#residency.giveUp(now)) this.#dirtyAll();
    if (now >= this.#holdUntil) {
      this.#holdUntil = Infinity;
      for (const key of this.#wants.keys()) this.#dirty.add(key);
    }
    for (const key of this.#dirty) {
      const want = this.#wants.get(key);
      const lanes = want === undefined ? [] : waiting.lanesOf(want.job.model, want.job.runnerOptions);
      const claims = new Map<RunnerState, number>();
      for (const lane of lanes) {
        const dispatch = this.#nextOf(lane, { waiting, fleet, claims }, now);
        if (dispatch !== null) return dispatch;
      }
      this.#dirty.delete(key);
    }
    return null;
  }

  wakeAt(): Millis | null {
    const dueAt = this.#loads ? (this.#due.first?.deadline ?? Infinity) : Infinity;
    const at = Math.min(this.#holdUntil, dueAt);
    return at === Infinity ? null : at;
  }

  leased(job: Job, { backend }: Placement, now: Millis): LeaseWatch {
    if (needsRunner(job)) return this.#leases.open(this.knowledge.servingOn(backend, job, now), job, now);
    return { answered: () => {}, released: () => this.#dirtyAll() };
  }

  intents(waiting: WaitingJobs, fleet: FleetReader, now: Millis): readonly Intent[] {
    this.#queue = waiting;
    for (let considered = 0; considered < AT_ONCE; considered += 1) {
      const want = this.#due.first;
      if (want === undefined || want.deadline > now) break;
      const wanted = this.#wanted(want, waiting, fleet);
      if (wanted === null) {
        this.#wants.delete(want.key);
        this.#headroom.forget(want.key);
        this.#due.remove(want);
        this.#demands.count(want.key, 0, now);
        continue;
      }
      const plan = this.#residency.consider(wanted, this.#options, now);
      const next = typeof plan === 'number' ? Math.max(plan, now + 1) : Infinity;
      this.#isDue(want, Math.min(next, now + RECONSIDERED_MS));
      if (typeof plan !== 'number') this.#decisions.add(placed(plan, wanted.waiting, now));
    }
    return this.#residency.ripe(now).flatMap(intentsOf);
  }

  performed({ kind, backend, model, runnerOptions }: Intent, tookMs: Millis | null, now: Millis): void {
    if (kind !== 'load') return;
    this.#residency.ended(backend, tookMs, now);
    const key = runnerKey(model, runnerOptions);
    this.#dirty.add(key);
    this.#failures.delete(key);
    if (tookMs === null) this.#noteFailure(key, backend, now);
    this.#oldestWantsAreDue(now);
  }

  #runnerChanged(runner: RunnerState, now: Millis): void {
    this.#dirty.add(runner.key);
    if (runner.contextLength !== null) this.#dirty.add(runnerKey(runner.model, `num_ctx=${runner.contextLength}`));
    // A slot of the backend as a whole may be what others wait for.
    if (runner.backend.capped) this.#dirtyAll();
    if (runner.inFlight === 0) this.#oldestWantsAreDue(now);
  }

  #dirtyAll(): void {
    for (const key of this.#wants.keys()) this.#dirty.add(key);
  }

  /** A place may have come free. The others think of it again within `RECONSIDERED_MS`. */
  #oldestWantsAreDue(now: Millis): void {
    let count = 0;
    for (const want of this.#wants.values()) {
      if (count++ >= URGENT) return;
      this.#isDue(want, Math.min(want.deadline, now));
    }
  }

  #isDue(want: Want, at: Millis): void {
    if (want.deadline === at) return;
    this.#due.remove(want);
    want.deadline = at;
    this.#due.add(want);
  }

  #noteFailure(key: RunnerKey, backend: BackendId, now: Millis): void {
    for (const [old, { at }] of this.#failures) if (now - at >= FAILED_MS) this.#failures.delete(old);
    this.#failures.set(key, { backend, at: now });
  }

  #waitingFor({ model, options }: RunnerState): number {
    let count = 0;
    for (const lane of this.#queue?.lanesOf(model, options) ?? []) count += lane.size;
    return count;
  }

  /** Takes in what the fleet has learnt since it was last looked at. */
  #learn(fleet: FleetReader, now: Millis): void {
    const { residents, inventory, use } = fleet.revision;
    const seen = this.#seen;
    if (residents === seen.residents && inventory === seen.inventory && use === seen.use) return;
    let changed = inventory !== seen.inventory || use !== seen.use;
    const ids = new Set<BackendId>();
    for (const view of fleet.view()) {
      const { id, spec, resident, residentAt } = view;
      ids.add(id);
      this.knowledge.configure(spec);
      this.knowledge.backend(id).usable = isInUse(view);
      if (this.knowledge.observe(id, resident, residentAt)) changed = true;
    }
    for (const { id } of this.knowledge.backends) if (!ids.has(id)) this.knowledge.forget(id);
    this.#seen = { residents, inventory, use };
    if (!changed) return;
    this.#dirtyAll();
    this.#oldestWantsAreDue(now);
  }

  #wanted({ key, job }: Want, waiting: WaitingJobs, fleet: FleetReader): Wanted | null {
    let count = 0;
    let since = Infinity;
    let deadline = Infinity;
    let first: Waiter | null = null;
    for (const lane of waiting.lanesOf(job.model, job.runnerOptions)) {
      count += lane.size;
      const { oldest } = lane;
      since = Math.min(since, oldest.since);
      deadline = Math.min(deadline, oldest.deadline);
      first ??= lane.head;
    }
    if (first === null) return null;
    const { job: one, tried } = first;
    const allowed = (): readonly BackendId[] => fleet.prospects(one, tried).map(({ id }) => id);
    const allows = (id: BackendId): boolean => fleet.prospect(id, one, tried)?.spare === false;
    return { key, job: one, waiting: count, since, deadline, allows, allowed };
  }

  /** Where the job's runner is, or may be, as far as the fleet lets the job go there. */
  #places({ job, tried }: Pick<Waiter, 'job' | 'tried'>, fleet: FleetReader, now: Millis): readonly Place[] {
    const ofAll = (): Place[] =>
      fleet.prospects(job, tried).map((prospect) => [this.knowledge.servingOn(prospect.id, job, now), prospect]);
    if (!this.#loads) return ofAll();
    const places: Place[] = [];
    for (const runner of this.knowledge.serving(job)) {
      const prospect = fleet.prospect(runner.backend.id, job, tried);
      if (prospect !== null) places.push([runner, prospect]);
    }
    for (const { id } of this.knowledge.untold) {
      const prospect = fleet.prospect(id, job, tried);
      if (prospect !== null) places.push([this.knowledge.runner(id, job, now), prospect]);
    }
    if (places.every(([, { spare }]) => !spare)) return places;
    // An ejected backend serves only when no other may, wherever the model is.
    const allowed = new Set(fleet.prospects(job, tried).map(({ id }) => id));
    return places.filter(([, { id }]) => allowed.has(id));
  }

  #nextOf<W extends Waiter>(lane: Lane<W>, { claims, fleet, waiting }: Round<W>, now: Millis): Dispatch<W> | null {
    const { head } = lane;
    if (!needsRunner(head.job)) {
      const placement = anywhere(fleet.prospects(head.job, head.tried));
      return placement === null ? null : { waiter: head, ...placement };
    }
    const places = this.#places(head, fleet, now);
    const keptUntil = this.#headroom.keptUntil(keyOf(head.job), this.#roomIn(places, now), now);
    let considered = 0;
    for (const waiter of lane) {
      if (considered++ >= CONSIDERED) break;
      if (keptUntil !== null && waiting.yields(waiter)) {
        this.#holdUntil = Math.min(this.#holdUntil, keptUntil);
        continue;
      }
      const placement = this.#choose(waiter, places, claims, now) ?? this.#afterFailure(waiter, fleet, now);
      if (placement !== null) return { waiter, ...placement };
    }
    return null;
  }

  #roomIn(places: readonly Place[], now: Millis): Room {
    let slots = 0;
    let free = 0;
    for (const [runner, prospect] of places) {
      if (runner.phase !== 'ready') continue;
      const limit = this.knowledge.limit(runner, now);
      slots += limit;
      if (prospect.free) free += Math.max(0, limit - runner.inFlight);
    }
    return { slots, free };
  }

  /** Where the job goes now; null when it had better wait. */
  #choose(
    waiter: Pick<Waiter, 'job' | 'since'>,
    places: readonly Place[],
    claims: Map<RunnerState, number>,
    now: Millis,
  ): Placement | null {
    const { job } = waiter;
    const weighed = weigh(job, places, { knowledge: this.knowledge, claims }, now);
    const free = this.#cheapest(weighed.filter((one) => one.free));
    const busy = this.#cheapest(weighed.filter((one) => !one.free && one.tier <= (free?.tier ?? Infinity)));
    if (busy !== null && (free === null || this.#prefersWaiting(waiter, { free, busy }, weighed, now))) {
      claims.set(busy.runner, (claims.get(busy.runner) ?? 0) + 1);
      return null;
    }
    if (free === null) return null;
    const placement = { backend: free.backend, reason: this.#reasonFor(waiter, free, weighed) };
    this.#decisions.add(sent(waiter, placement, weighed, now));
    return placement;
  }

  /** Of the lowest tier, the one of the lowest rank; chance decides between equals. */
  #cheapest(among: readonly Weighed[]): Weighed | null {
    let best: Weighed | null = null;
    let equals = 1;
    for (const one of among) {
      const difference = best === null ? -1 : one.tier - best.tier || one.rank - best.rank;
      if (difference < 0) {
        best = one;
        equals = 1;
      } else if (difference === 0) {
        equals += 1;
        if (this.#rng.next() * equals < 1) best = one;
      }
    }
    return best;
  }

  /** Waiting for a busy backend never takes longer than going to a free one would have cost more. */
  #prefersWaiting(
    { job }: Pick<Waiter, 'job'>,
    { free, busy }: { readonly free: Weighed; readonly busy: Weighed },
    weighed: readonly Weighed[],
    now: Millis,
  ): boolean {
    if (busy.rank >= free.rank) return false;
    let hold = this.#held.get(job);
    if (hold === undefined) {
      const savedMs = free.totalMs - (busy.totalMs - busy.waitMs);
      hold = { since: now, budgetMs: Math.max(0, savedMs) };
      this.#held.set(job, hold);
      this.#decisions.add(held(job, { free, busy }, weighed, { at: now, forMs: hold.budgetMs }));
    }
    const until = hold.since + hold.budgetMs;
    if (now >= until) return false;
    this.#holdUntil = Math.min(this.#holdUntil, until);
    return true;
  }

  #reasonFor({ job, since }: Pick<Waiter, 'job' | 'since'>, chosen: Weighed, weighed: readonly Weighed[]): RouteReason {
    if (chosen.phase !== 'ready' || chosen.runner.since > since) return 'cold';
    if (job.only?.length === 1 || this.knowledge.size === 1) return 'only';
    if (chosen.cachedTokens > 0) return 'sticky';
    return weighed.filter(({ free }) => free).length > 1 ? 'least-busy' : 'warm';
  }

  #afterFailure({ job, tried }: Pick<Waiter, 'job' | 'tried'>, fleet: FleetReader, now: Millis): Placement | null {
    const failure = this.#failures.get(keyOf(job));
    if (failure === undefined || now - failure.at >= FAILED_MS) return null;
    const prospect = fleet.prospect(failure.backend, job, tried);
    return prospect?.free === true ? { backend: failure.backend, reason: 'cold' } : null;
  }
}

/** Cloud models run elsewhere; unloading needs no load. */
function needsRunner({ model, task }: Job): boolean {
  return model !== null && task !== 'unload' && !isCloudModel(model);
}

function keyOf({ model, runnerOptions }: Job): RunnerKey {
  return runnerKey(model ?? '', runnerOptions);
}

/** For jobs that any backend serves alike: where the fewest are. */
function anywhere(prospects: readonly Prospect[]): Placement | null {
  let best: Prospect | null = null;
  for (const prospect of prospects) {
    if (prospect.free && (best === null || prospect.inFlight / prospect.weight < best.inFlight / best.weight)) {
      best = prospect;
    }
  }
  return best === null ? null : { backend: best.id, reason: prospects.length === 1 ? 'only' : 'least-busy' };
}

/** The victims go first, by our own hand: left to itself Ollama would choose by keep_alive and path. */
function intentsOf({ runner, job, victims }: Plan): Intent[] {
  const { backend, task } = { backend: runner.backend.id, task: job.task };
  return [
    ...victims.map(({ model, options }): Intent => {
      return { kind: 'unload', backend, model, runnerOptions: options, task };
    }),
    { kind: 'load', backend, model: runner.model, runnerOptions: runner.options, task },
  ];
}
