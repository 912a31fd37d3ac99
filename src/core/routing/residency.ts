/**
 * Which models are in memory where. A load costs seconds and may push out what others need, so that a place is bought: the jobs
 * that wait for a model pay with their waiting, and the price is what evicting would cost those who use what is there. That is
 * the ski-rental rule: whoever buys once the rent paid equals the price pays at most twice what hindsight would have.
 */
import type { BackendId, Job, Millis, RunnerKey } from '../types.ts';
import type { Demands } from './demand.ts';
import { hasContext, placesOf, type BackendState, type Knowledge, type RunnerState } from './knowledge.ts';

/** Jobs that wait for one runner. */
export interface Wanted {
  readonly key: RunnerKey;
  /** Stands for all of them. */
  readonly job: Job;
  readonly waiting: number;
  /** Since when the first of them waits, and when it gives up. */
  readonly since: Millis;
  readonly deadline: Millis;
  /** Whether a backend may serve them, other than as a last resort. */
  readonly allows: (backend: BackendId) => boolean;
  /** All that may serve them, be it as a last resort. */
  readonly allowed: () => readonly BackendId[];
}

/** A change of what is in memory on one backend. One at a time. */
export interface Plan {
  readonly runner: RunnerState;
  readonly job: Job;
  /** Have to go first; they are fed no more. */
  readonly victims: readonly RunnerState[];
  readonly priceMs: Millis;
  readonly regretMs: Millis;
  readonly since: Millis;
  issued: boolean;
}

/** A place for a runner, and what taking it would cost those who use what is there now. */
interface Offer {
  readonly backend: BackendState;
  readonly victims: readonly RunnerState[];
  readonly priceMs: Millis;
}

export interface ResidencyOptions {
  /** A job that has waited this long, and for `PATIENT_LOADS` loads, no longer minds whom it pushes out. */
  readonly patience: Millis;
}

interface Damage {
  readonly runner: RunnerState;
  readonly damageMs: Millis;
}

/** How old a price may be that is only compared; what is bought is priced anew. */
const RECENT_MS = 1000;

/** Where loads take long, it takes longer to be worth one. */
const PATIENT_LOADS = 3;

/** A backend that failed to load a model is not asked to again for so long. */
const FAILED_MS = 30_000;

/** How far ahead evicting is thought through: about the time until the next change of mind. */
const HORIZON_MS = 120_000;

/** With more of its slots in use on average, a model does not do well on fewer replicas. */
const COMFORTABLE = 0.5;

export class Residency {
  readonly #knowledge: Knowledge;
  readonly #demands: Demands;
  readonly #plans = new Map<BackendId, Plan>();
  readonly #waitingFor: (runner: RunnerState) => number;
  readonly #damages = new Map<
    BackendState,
    { readonly revision: number; readonly at: Millis; readonly damages: readonly Damage[] | null }
  >();

  constructor(knowledge: Knowledge, demands: Demands, waitingFor: (runner: RunnerState) => number) {
    this.#knowledge = knowledge;
    this.#demands = demands;
    this.#waitingFor = waitingFor;
  }

  get plans(): ReadonlyMap<BackendId, Plan> {
    return this.#plans;
  }

  /**
   * Buys a place for a wanted runner when it is due. Returns the new plan; else when to ask again, Infinity when only an event
   * can help.
   */
  consider(wanted: Wanted, options: ResidencyOptions, now: Millis): Plan | Millis {
    const { key, waiting } = wanted;
    const demand = this.#demands.count(key, waiting, now);
    if (this.#isComing(wanted)) return Infinity;
    const replicas = serving(this.#knowledge.serving(wanted.job), null);
    const patientUntil = replicas > 0 ? Infinity : this.#patientUntil(wanted, options);
    const offer = this.#best(wanted, now >= patientUntil, now);
    if (offer === null) return now < patientUntil ? patientUntil : Infinity;
    const loadMs = this.#knowledge.expectedLoadMs(wanted.job.model ?? '');
    const priceMs = replicas > 0 ? offer.priceMs + loadMs : offer.priceMs;
    if (demand.regretMs < priceMs && now < patientUntil) {
      return Math.min(patientUntil, now + Math.max(1, (priceMs - demand.regretMs) / waiting));
    }
    const plan: Plan = {
      runner: this.#knowledge.runner(offer.backend.id, wanted.job, now),
      job: wanted.job,
      victims: offer.victims,
      priceMs,
      regretMs: demand.regretMs,
      since: now,
      issued: false,
    };
    this.#demands.settle(key);
    this.#plans.set(offer.backend.id, plan);
    for (const victim of offer.victims) this.#knowledge.setPhase(victim, 'draining', now);
    return plan;
  }

  /** Until the first of those that wait may push out anybody; early enough that he is still there when the load has ended. */
  #patientUntil({ job, since, deadline }: Wanted, { patience }: ResidencyOptions): Millis {
    const loadMs = this.#knowledge.expectedLoadMs(job.model ?? '');
    const latest = deadline - loadMs - this.#knowledge.expectedHoldMs(undefined);
    return Math.max(since, Math.min(latest, since + Math.max(patience, PATIENT_LOADS * loadMs)));
  }

  /** Plans whose victims have fallen idle: each is to be carried out now, and is given out once. */
  ripe(now: Millis): Plan[] {
    const ripe: Plan[] = [];
    for (const plan of this.#plans.values()) {
      if (plan.issued || plan.victims.some(({ inFlight }) => inFlight > 0)) continue;
      plan.issued = true;
      for (const victim of plan.victims) this.#knowledge.setPhase(victim, 'absent', now);
      this.#knowledge.setPhase(plan.runner, 'loading', now);
      ripe.push(plan);
    }
    return ripe;
  }

  /** What was being drained for a runner that nobody waits for any more serves again. Returns whether there was any. */
  giveUp(now: Millis): boolean {
    let any = false;
    for (const [id, plan] of this.#plans) {
      if (plan.issued || this.#waitingFor(plan.runner) > 0) continue;
      for (const victim of plan.victims) this.#knowledge.setPhase(victim, 'ready', now);
      this.#plans.delete(id);
      any = true;
    }
    return any;
  }

  /** The load has ended; null when it failed. */
  ended(backend: BackendId, loadMs: Millis | null, now: Millis): void {
    const plan = this.#plans.get(backend);
    if (plan === undefined) return;
    this.#plans.delete(backend);
    const { runner } = plan;
    runner.failedAt = loadMs === null ? now : null;
    this.#knowledge.setPhase(runner, loadMs === null ? 'absent' : 'ready', now);
    if (loadMs !== null) this.#knowledge.loaded(runner, loadMs);
  }

  #isComing({ key, job }: Wanted): boolean {
    for (const { runner } of this.#plans.values()) if (runner.key === key) return true;
    for (const { phase } of this.#knowledge.serving(job)) if (phase === 'loading') return true;
    return false;
  }

  /** The cheapest place in the lowest tier that has one, at a price that is no older than this moment. */
  #best(wanted: Wanted, desperate: boolean, now: Millis): Offer | null {
    const offer = this.#cheapest(wanted, desperate, now);
    if (offer === null || desperate) return offer;
    const priceMs = offer.victims.reduce((sum, victim) => sum + this.#damage(victim, false, now), 0);
    if (priceMs <= offer.priceMs * 1.1 + 100) return offer;
    this.#damages.clear();
    return this.#cheapest(wanted, false, now);
  }

  #cheapest(wanted: Wanted, desperate: boolean, now: Millis): Offer | null {
    const among = (allows: (id: BackendId) => boolean): Offer | null => {
      let best: { readonly offer: Offer; readonly rank: number } | null = null;
      for (const backend of this.#knowledge.backends) {
        const { id, held, tier, told, inFlight, weight } = backend;
        if (this.#plans.has(id) || told === null || (best !== null && tier > best.offer.backend.tier)) continue;
        const offer = this.#offer(backend, wanted, desperate, now);
        if (offer === null) continue;
        // Where the price decides nothing, models are spread: what is in memory beside each other shares one machine.
        const rank = offer.priceMs + (inFlight + held.size) / weight;
        const isBetter = best === null || tier < best.offer.backend.tier || rank < best.rank;
        // Asked last, because it costs most.
        if (isBetter && allows(id)) best = { offer, rank };
      }
      return best?.offer ?? null;
    };
    const best = among(wanted.allows);
    if (best !== null) return best;
    const lastResort = new Set(wanted.allowed());
    return lastResort.size === 0 ? null : among((id) => lastResort.has(id));
  }

  #offer(backend: BackendState, { key, job }: Wanted, desperate: boolean, now: Millis): Offer | null {
    const damages = desperate ? this.#damagesOf(backend, true, now) : this.#recentDamages(backend, now);
    const there = backend.runners.get(key);
    if (damages === null || there?.phase === 'ready' || hasJustFailed(there, now)) return null;
    if (damages.some(({ runner }) => runner.model === job.model && hasContext(runner, job.runnerOptions))) return null;
    const victims: RunnerState[] = [];
    let priceMs = 0;
    // Ollama holds a model with one set of options at a time.
    for (const { runner, damageMs } of damages) {
      if (runner.model !== job.model) continue;
      victims.push(runner);
      priceMs += damageMs;
    }
    for (const { runner, damageMs } of damages) {
      if (this.#fits(backend, key, victims)) break;
      if (runner.model === job.model) continue;
      victims.push(runner);
      priceMs += damageMs;
    }
    return priceMs === Infinity ? null : { backend, victims, priceMs };
  }

  /** What evicting each runner of a backend would cost, cheapest first; null while something else changes there. */
  #damagesOf(backend: BackendState, desperate: boolean, now: Millis): readonly Damage[] | null {
    const damages: Damage[] = [];
    for (const runner of backend.held) {
      if (runner.phase !== 'ready') return null;
      damages.push({ runner, damageMs: this.#damage(runner, desperate, now) });
    }
    return damages.sort((a, b) => a.damageMs - b.damageMs);
  }

  /** The same, worked out anew only when something has changed there, or after a while. */
  #recentDamages(backend: BackendState, now: Millis): readonly Damage[] | null {
    const { revision } = backend;
    const last = this.#damages.get(backend);
    if (last?.revision === revision && now - last.at < RECENT_MS) return last.damages;
    const damages = this.#damagesOf(backend, false, now);
    this.#damages.set(backend, { revision, at: now, damages });
    return damages;
  }

  #fits(backend: BackendState, key: RunnerKey, victims: readonly RunnerState[]): boolean {
    if (backend.held.size - victims.length >= placesOf(backend)) return false;
    const needed = this.#sizeOf(backend, key);
    if (backend.memoryBytes === null || needed === null) return true;
    let free = backend.memoryBytes;
    for (const runner of backend.held) {
      if (!victims.includes(runner)) free -= runner.sizeBytes ?? needed;
    }
    return needed <= free;
  }

  /** Bytes in memory, from there or from where it is now; null when that was never seen. */
  #sizeOf(backend: BackendState, key: RunnerKey): number | null {
    const there = backend.runners.get(key)?.sizeBytes ?? null;
    if (there !== null) return there;
    for (const { sizeBytes } of this.#knowledge.held(key)) if (sizeBytes !== null) return sizeBytes;
    return null;
  }

  /** What those who use a runner would lose by its going, in ms of waiting. Infinity when it may not go. */
  #damage(victim: RunnerState, desperate: boolean, now: Millis): Millis {
    const others = serving(this.#knowledge.held(victim.key), victim);
    if (!desperate && others === 0 && (victim.inFlight > 0 || this.#waitingFor(victim) > 0)) return Infinity;
    const loadMs = this.#knowledge.expectedLoadMs(victim.model, victim);
    const holdMs = this.#knowledge.expectedHoldMs(victim);
    const rate = this.#demands.rate(victim.key, now);
    const drainMs = victim.inFlight > 0 ? holdMs : 0;
    // What has just been loaded has not yet been worth it.
    const freshMs = desperate ? 0 : Math.max(0, loadMs - (now - victim.since));
    if (others > 0) {
      const busy = (rate * holdMs) / (this.#knowledge.limit(victim, now) * others);
      const crowded = Math.min(1, Math.max(0, (busy - COMFORTABLE) / (1 - COMFORTABLE)));
      return drainMs + freshMs + loadMs * crowded ** 2;
    }
    // Whoever comes next waits for a load; those who come during the load wait for half of it.
    const wanted = 1 - Math.exp(-rate * HORIZON_MS);
    const regretted = wanted * loadMs * (1 + (rate * loadMs) / 2);
    return drainMs + freshMs + regretted;
  }
}

/** Runners that serve, on backends that do, without `except`. */
function serving(runners: Iterable<RunnerState>, except: RunnerState | null): number {
  let count = 0;
  for (const runner of runners) {
    if (runner !== except && runner.phase === 'ready' && runner.backend.usable) count += 1;
  }
  return count;
}

function hasJustFailed(runner: RunnerState | undefined, now: Millis): boolean {
  const failedAt = runner?.failedAt ?? null;
  return failedAt !== null && now - failedAt < FAILED_MS;
}
