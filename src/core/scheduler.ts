/**
 * The right to one attempt: filter, pick, or wait. `acquire` gives a lease at once when a slot fits, else the job waits in
 * a bounded queue with a deadline. Whenever something changes, the planner is asked who goes next.
 */
import assert from 'node:assert/strict';
import { AUTO_SLOTS } from './backend.ts';
import type { Decision } from './routing/decisions.ts';
import { createBacklog, type Backlog } from './backlog.ts';
import { GatewayError } from './errors.ts';
import type { Emit } from './events.ts';
import type { Outlook } from './eligibility.ts';
import type { Fleet, Hold } from './fleet.ts';
import { policyPlanner, type Intent, type Perform, type Placement, type Planner } from './planner.ts';
import type { Policy } from './policies/policy.ts';
import { Queue, waitingView, type Waiter, type WaitingView } from './queue.ts';
import type { SchedulerOptions } from './scheduler-options.ts';
import type { Charge } from './shares.ts';
import type { Wakes } from './wake.ts';
import type { Learnt } from './routing/knowledge.ts';
import type { BackendId, Clock, Departure, Job, Millis, ModelName, Outcome, RouteReason, Timer } from './types.ts';

/** The right to one attempt at one backend. Whoever holds it releases it, exactly once, however the attempt ends. */
export interface Lease {
  readonly backend: BackendId;
  /** Whether the model was known to be in memory there when the lease was given. */
  readonly warm: boolean;
  readonly reason: RouteReason;
  /** How long this call of `acquire` took. */
  readonly queuedMs: Millis;
  /** The answer has begun, `ms` after the attempt. */
  firstByte(ms: Millis): void;
  /** Has the attempt given up, before its answer has begun, when what it was sent to hangs and another backend may serve the job. */
  readonly whenHung?: (giveUp: () => void) => void;
  /** Gives the slot back. A second call is a bug and throws. False for a failure that is no news of its backend. */
  release(outcome: Outcome): boolean;
}

export interface SchedulerView {
  readonly waiting: number;
  /** How many may wait. */
  readonly limit: number;
  /** Null for jobs that need no model. */
  readonly waitingByModel: ReadonlyMap<ModelName | null, number>;
  readonly leases: number;
  /** How long the one that has waited longest to give up has left; null when nobody waits. */
  readonly nextTimeoutMs: Millis | null;
}

export interface Scheduler {
  /**
   * A lease, now or when the job's turn has come. `tried` are backends this job must not get again; `waitedMs` is what
   * it has waited in earlier calls and counts towards the timeout. Rejects with GatewayError: `unknown-model`,
   * `no-backend`, `queue-full`, `queue-timeout`, `client-gone`, `shutting-down`.
   */
  acquire(job: Job, tried: readonly BackendId[], signal: Departure, waitedMs?: Millis): Promise<Lease>;
  view(): SchedulerView;
  /** Everybody who waits, in the order they came. Costs a walk through the queue. */
  waiting(): readonly WaitingView[];
  /** Refuses a job that waits, by its id, with this error. False when it does not wait (any more). */
  dismiss(jobId: string, error: GatewayError): boolean;
  /** The last decisions, newest first; none when the policy keeps none. */
  decisions(): readonly Decision[];
  /** From the next decision on. */
  setPolicy(policy: Policy | Planner): void;
  /** Jobs that wait keep their deadline. */
  setOptions(options: SchedulerOptions): void;
  /** What the policy has learnt that is worth keeping over a restart; null when it learns nothing. */
  learnt(): Learnt | null;
  /** Takes that up again, if the policy has a use for it. */
  restore(learnt: Learnt): void;
  /** Refuses who waits and who comes; leases end by themselves. */
  close(): void;
}

export interface SchedulerDependencies {
  readonly fleet: Fleet;
  readonly policy: Policy | Planner;
  readonly clock: Clock;
  readonly emit: Emit;
  /** Loads and unloads for planners that want it; without it none is asked for. */
  readonly perform?: Perform;
  /** Wakes backends that those who wait need; asked at every event while somebody waits. */
  readonly wake?: Wakes;
}

export function createScheduler(dependencies: SchedulerDependencies, options: SchedulerOptions): Scheduler {
  return new Dispatcher(dependencies, options);
}

interface WaitingJob extends Waiter {
  /** When this wait began; `since` may lie before it. */
  readonly from: Millis;
  readonly resolve: (lease: Lease) => void;
  readonly reject: (error: GatewayError) => void;
  readonly stopListening: () => void;
}

/** A job that goes to a backend now. */
interface Admitted {
  readonly job: Job;
  readonly charge: Charge;
  readonly queuedMs: Millis;
}

class Dispatcher implements Scheduler {
  readonly #fleet: Fleet;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #queue = new Queue<WaitingJob>();
  readonly #backlog: Backlog = createBacklog();
  readonly #unsubscribe: () => void;
  readonly #perform: Perform | null;
  readonly #wake: Wakes | null;
  #planner: Planner;
  #options: SchedulerOptions;
  #timer: { readonly at: Millis; readonly timer: Timer } | null = null;
  #leases = 0;
  #closed = false;

  constructor({ fleet, policy, clock, emit, perform, wake }: SchedulerDependencies, options: SchedulerOptions) {
    this.#fleet = fleet;
    this.#clock = clock;
    this.#emit = emit;
    this.#perform = perform ?? null;
    this.#wake = wake ?? null;
    this.#planner = this.#begin(policy);
    this.#options = options;
    this.#queue.setAgeing(options.ageing);
    this.#unsubscribe = fleet.subscribe(() => this.#fleetChanged());
  }

  acquire(job: Job, tried: readonly BackendId[], signal: Departure, waitedMs: Millis = 0): Promise<Lease> {
    if (this.#closed) return Promise.reject(new GatewayError('shutting-down', 'the gateway is stopping'));
    if (signal.aborted) return Promise.reject(clientGone());
    this.#planner.came?.(job, tried, this.#clock.now());
    const outlook = this.#fleet.outlook(job, tried);
    if (outlook !== 'free') {
      const refusal = this.#hopeless(outlook, job);
      if (refusal !== null) return Promise.reject(refusal);
    } else if (this.#queue.size === 0 && this.#queue.admits(job)) {
      const now = this.#clock.now();
      this.#queue.setNow(now);
      const arrival = { job, tried, since: now - waitedMs };
      const placement = this.#planner.place(arrival, this.#fleet, now);
      if (placement !== null)
        return Promise.resolve(this.#lease(placement, { job, charge: this.#queue.admit(job), queuedMs: 0 }));
    }
    return this.#wait(job, tried, signal, waitedMs);
  }

  view(): SchedulerView {
    const first = this.#queue.firstToExpire;
    return {
      waiting: this.#queue.size,
      limit: this.#options.limit,
      waitingByModel: this.#queue.countByModel(),
      leases: this.#leases,
      nextTimeoutMs: first === undefined ? null : first.deadline - this.#clock.now(),
    };
  }

  waiting(): readonly WaitingView[] {
    const now = this.#clock.now();
    return [...this.#queue].map((waiter) => waitingView(waiter, now));
  }

  dismiss(jobId: string, error: GatewayError): boolean {
    const waiters = [...this.#queue].filter(({ job }) => job.id === jobId);
    for (const waiter of waiters) this.#refuse(waiter, 'failed', error);
    this.#arm();
    return waiters.length > 0;
  }

  decisions(): readonly Decision[] {
    return this.#planner.decisions?.() ?? [];
  }

  setPolicy(policy: Policy | Planner): void {
    const learnt = this.learnt();
    this.#planner = this.#begin(policy);
    if (learnt !== null) this.restore(learnt);
    const now = this.#clock.now();
    for (const { job } of this.#queue) this.#planner.queued?.(job, now);
    this.#dispatch();
  }

  setOptions(options: SchedulerOptions): void {
    this.#options = options;
    this.#queue.setAgeing(options.ageing);
    this.#enforceLimit();
    this.#rejectHopeless();
    this.#arm();
  }

  learnt(): Learnt | null {
    return this.#planner.learnt?.() ?? null;
  }

  restore(learnt: Learnt): void {
    this.#planner.restore?.(learnt, this.#clock.now());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    for (const waiter of this.#queue) {
      this.#refuse(waiter, 'failed', new GatewayError('shutting-down', 'the gateway is stopping'));
    }
    this.#arm();
  }

  #wait(job: Job, tried: readonly BackendId[], signal: Departure, waitedMs: Millis): Promise<Lease> {
    const now = this.#clock.now();
    const patience = this.#options.timeout - waitedMs;
    return new Promise<Lease>((resolve, reject) => {
      const left = (): void => {
        if (this.#queue.has(waiter)) this.#refuse(waiter, 'client-gone', clientGone());
        this.#arm();
      };
      const waiter: WaitingJob = {
        job,
        tried,
        from: now,
        since: now - waitedMs,
        deadline: now + patience,
        resolve,
        reject,
        stopListening: () => signal.removeEventListener('abort', left),
      };
      // It stands in the queue before the limit is applied, because a slot that fits it may be free although others wait.
      this.#queue.setNow(now);
      this.#queue.push(waiter);
      this.#backlog.joined(job.model, now);
      this.#noteStall(job);
      this.#planner.queued?.(job, now);
      signal.addEventListener('abort', left, { once: true });
      this.#emit({ kind: 'queued', model: job.model, depth: this.#queue.size });
      this.#dispatch();
      this.#refuseIfTooMany(waiter);
      this.#refuseIfVain(waiter);
      this.#enforceLimit();
      this.#arm();
    });
  }

  /** Lets go whoever the planner says may go. */
  #dispatch(): void {
    const now = this.#clock.now();
    this.#queue.setNow(now);
    while (this.#queue.size > 0) {
      const dispatch = this.#planner.next(this.#queue, this.#fleet, now);
      if (dispatch === null) break;
      const { waiter } = dispatch;
      const charge = this.#queue.serve(waiter);
      assert(charge !== null, 'only a job that waits is dispatched');
      const queuedMs = this.#left(waiter, 'leased');
      waiter.resolve(this.#lease(dispatch, { job: waiter.job, charge, queuedMs }));
    }
    this.#carryOut();
    if (this.#queue.size > 0)
      this.#wake?.(this.#queue.lanes, (job) => this.#predict(job, this.#backlog.waiting(job.model)));
    this.#arm();
  }

  /** Has done what the planner wants in memory. */
  #carryOut(): void {
    const planner = this.#planner;
    if (this.#perform === null || planner.intents === undefined || this.#closed) return;
    for (const intent of planner.intents(this.#queue, this.#fleet, this.#clock.now())) {
      // While it loads nobody leaves the queue, which says nothing about how fast the queue moves.
      if (intent.kind === 'load') this.#backlog.stalled(intent.model);
      this.#perform(intent, (tookMs) => this.#carriedOut(planner, intent, tookMs));
    }
  }

  #carriedOut(planner: Planner, intent: Intent, tookMs: Millis | null): void {
    planner.performed?.(intent, tookMs, this.#clock.now());
    this.#dispatch();
  }

  #begin(policy: Policy | Planner): Planner {
    const planner = asPlanner(policy);
    planner.begin?.({ performs: this.#perform !== null });
    this.#queue.setByRunner(planner.countsSlots === true);
    this.#fleet.setAutoSlots(planner.countsSlots === true ? Infinity : AUTO_SLOTS);
    return planner;
  }

  #lease(placement: Placement, { charge, job, queuedMs }: Admitted): Lease {
    const { backend, reason } = placement;
    const hold = this.#fleet.take(backend, job);
    const since = this.#clock.now();
    const watch = this.#planner.leased?.(job, placement, since);
    let released = false;
    this.#leases += 1;
    return {
      backend,
      warm: hold.warm,
      reason,
      queuedMs,
      firstByte: () => {
        if (released) return;
        watch?.answered(this.#clock.now());
        this.#fleet.answered(hold);
        // That a request is served beside the others may show a slot nobody knew of.
        if (watch !== null && watch !== undefined && this.#queue.size > 0) this.#dispatch();
      },
      release: (outcome) => {
        assert(!released, 'a lease is released once');
        released = true;
        const now = this.#clock.now();
        watch?.released(outcome, now);
        for (const freed of this.#queue.settle(charge, job, outcome)) this.#planner.queued?.(freed, now);
        return this.#release(hold, outcome, job, now - since);
      },
    };
  }

  #release(hold: Hold, outcome: Outcome, { model }: Job, heldMs: Millis): boolean {
    this.#leases -= 1;
    const isNews = this.#fleet.give(hold, outcome);
    if (outcome.kind === 'done' || outcome.kind === 'client-gone') this.#backlog.held(model, heldMs);
    if (outcome.kind === 'failed') this.#fleetChanged();
    else this.#dispatch();
    return isNews;
  }

  #fleetChanged(): void {
    if (this.#queue.size === 0) return;
    this.#dispatch();
    this.#rejectHopeless();
    this.#arm();
  }

  /** Jobs that can no longer be served at all need not wait for their deadline. */
  #rejectHopeless(): void {
    for (const waiters of this.#queue.alike()) {
      const { job, tried } = waiters[0]!;
      const outlook = this.#fleet.outlook(job, tried);
      if (outlook === 'free') continue;
      this.#noteStall(job);
      if (this.#hopeless(outlook, job) === null) continue;
      for (const waiter of waiters) this.#refuse(waiter, 'failed', this.#hopeless(outlook, waiter.job)!);
    }
  }

  /** The refusal of a job that waiting cannot help; null when it may wait. */
  #hopeless(reason: Outlook, job: Job): GatewayError | null {
    if (reason === 'unknown-model') return new GatewayError('unknown-model', `model '${job.model}' not found`);
    if (reason === 'tried') return noBackend('every backend that could serve the request has failed it', 0);
    if (reason === 'no-backend' && !this.#options.waitForBackend) {
      return noBackend('no backend that could serve the request is up', DOWN_RETRY_AFTER_MS);
    }
    return null;
  }

  /** Who has too many in the queue is told so, whatever room there is. */
  #refuseIfTooMany(waiter: WaitingJob): void {
    const { client, share } = waiter.job;
    if (share?.queued === undefined || !this.#queue.has(waiter)) return;
    if (this.#queue.waitingOf(client) <= share.queued) return;
    const retryAfterMs = this.#retryAfter(waiter);
    const message = `${share.queued} of your requests wait already; try again later`;
    this.#refuse(waiter, 'failed', new GatewayError('too-many-waiting', message, { retryAfterMs }));
  }

  /** Waiting in vain serves nobody: who would give up before its turn is told so at once. */
  #refuseIfVain(waiter: WaitingJob): void {
    if (!this.#options.refuseEarly || !this.#queue.has(waiter)) return;
    if (this.#planner.guesses?.(waiter.job) === true) return;
    const left = waiter.deadline - this.#clock.now();
    // Whoever would be served in time behind all others need not be counted how many go before it.
    const atWorst = this.#predict(waiter.job, this.#backlog.waiting(waiter.job.model));
    if (atWorst === null || atWorst <= left) return;
    const predicted = this.#predictedWait(waiter);
    if (predicted === null || predicted <= left) return;
    // One that is being woken will take its part.
    if (this.#fleet.sleepers(waiter.job, waiter.tried).some(({ isWaking }) => isWaking)) return;
    const message = `the wait for a slot would be about ${Math.round(predicted / 1000)} s; try again later`;
    const retryAfterMs = this.#retryAfter(waiter);
    this.#refuse(waiter, 'failed', new GatewayError('queue-full', message, { retryAfterMs }));
  }

  #enforceLimit(): void {
    while (this.#queue.size > this.#options.limit) {
      const waiter = this.#queue.leastUrgent!;
      const message = `${this.#options.limit} requests wait already; try again later`;
      const retryAfterMs = this.#retryAfter(waiter);
      this.#refuse(waiter, 'failed', new GatewayError('queue-full', message, { retryAfterMs }));
    }
  }

  #expire(): void {
    const now = this.#clock.now();
    for (;;) {
      const waiter = this.#queue.firstToExpire;
      if (waiter === undefined || waiter.deadline > now) break;
      this.#refuse(waiter, 'timeout', this.#timedOut(waiter, now));
    }
  }

  #timedOut(waiter: WaitingJob, now: Millis): GatewayError {
    const { job, since, tried } = waiter;
    if (['no-backend', 'asleep'].includes(this.#fleet.outlook(job, tried))) {
      return noBackend('no backend that could serve the request came back in time', DOWN_RETRY_AFTER_MS);
    }
    const message = `no slot came free within ${Math.round((now - since) / 100) / 10} s`;
    return new GatewayError('queue-timeout', message, { retryAfterMs: this.#retryAfter(waiter) });
  }

  #refuse(waiter: WaitingJob, how: 'timeout' | 'client-gone' | 'failed', error: GatewayError): void {
    assert(this.#queue.remove(waiter), 'only a job that waits is refused');
    this.#left(waiter, how);
    waiter.reject(error);
  }

  /** Notes that a job no longer waits; returns how long it has. */
  #left(waiter: WaitingJob, how: 'leased' | 'timeout' | 'client-gone' | 'failed'): Millis {
    const now = this.#clock.now();
    const { model } = waiter.job;
    waiter.stopListening();
    this.#backlog.left(model, how === 'leased' ? 'served' : 'gave-up', now);
    const waitedMs = now - waiter.from;
    this.#emit({ kind: 'dequeued', model, waitedMs, how });
    return waitedMs;
  }

  /** How long the waiter's client will wait for the last of its jobs; null when nothing tells. */
  #predictedWait(waiter: WaitingJob): Millis | null {
    return this.#predict(waiter.job, this.#queue.ahead(waiter));
  }

  #predict(job: Job, ahead: number): Millis | null {
    const capacity = this.#fleet.capacityFor(job);
    const counted = this.#planner.slotsFor?.(job, this.#clock.now()) ?? Infinity;
    return this.#backlog.predict(job.model, { ahead, slots: Math.min(capacity, counted) });
  }

  #retryAfter(waiter: WaitingJob): Millis {
    return Math.min(LONGEST_RETRY_AFTER_MS, Math.max(1000, Math.ceil(this.#predictedWait(waiter) ?? 0)));
  }

  /** An outage must not be taken for a slow queue. */
  #noteStall(job: Job): void {
    if (this.#fleet.capacityFor(job) === 0) this.#backlog.stalled(job.model);
  }

  /** One timer for all that wait, and none while nobody does. */
  #arm(): void {
    const at = this.#nextWake();
    if (at === this.#timer?.at) return;
    this.#timer?.timer.cancel();
    this.#timer = null;
    if (at === null) return;
    const wake = (): void => {
      this.#timer = null;
      this.#expire();
      this.#dispatch();
    };
    this.#timer = { at, timer: this.#clock.after(at - this.#clock.now(), wake) };
  }

  #nextWake(): Millis | null {
    const first = this.#queue.firstToExpire;
    if (first === undefined) return null;
    const wanted = this.#planner.wakeAt?.(this.#clock.now()) ?? null;
    return wanted === null ? first.deadline : Math.min(first.deadline, wanted);
  }
}

/** After which a client may find a backend again, when none is up: a few probes. */
const DOWN_RETRY_AFTER_MS = 5000;

const LONGEST_RETRY_AFTER_MS = 600_000;

function asPlanner(policy: Policy | Planner): Planner {
  return 'next' in policy ? policy : policyPlanner(policy);
}

function clientGone(): GatewayError {
  return new GatewayError('client-gone', 'the client left while its request waited');
}

function noBackend(message: string, retryAfterMs: Millis): GatewayError {
  return new GatewayError('no-backend', message, retryAfterMs > 0 ? { retryAfterMs } : {});
}
