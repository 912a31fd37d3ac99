/**
 * The real core among faults: fleet, scheduler, retry, quarantine and policies as the gateway wires them, on a virtual clock,
 * in front of backends that die, hang and lie. Whoever drives it takes one step after the other and checks in between.
 */
import assert from 'node:assert/strict';
import { AUTO_SLOTS, type BackendSpec } from '../../src/core/backend.ts';
import { GatewayError } from '../../src/core/errors.ts';
import type { Event } from '../../src/core/events.ts';
import { createFleet, type Fleet } from '../../src/core/fleet.ts';
import { createPolicy, policyNames, type PolicyName } from '../../src/core/policies/choice.ts';
import { createQuarantine } from '../../src/core/quarantine.ts';
import { createRetry, failureOutcome, isLethal, isUnsent, type AttemptFailure } from '../../src/core/retry.ts';
import { createScheduler, type Lease, type Scheduler } from '../../src/core/scheduler.ts';
import type { Intent } from '../../src/core/planner.ts';
import type { Millis, Outcome, Rng } from '../../src/core/types.ts';
import { backend, healthDefaults, installed, job, resident } from '../../test/support/build.ts';
import { below, seededRng } from '../../test/support/random.ts';
import { virtualClock } from '../../test/support/virtual-clock.ts';
import { choose } from '../sim/luck.ts';
import { machineOf, type Machine, type Told } from './herd.ts';
import { ids, models, type Step } from './steps.ts';
import { Client, type AttemptEnd, type Running, type Traveller } from './traveller.ts';

const FIRST_BYTE_TIMEOUT_MS = 30_000;
const RETRY = { backends: 2, budget: 0.2, budgetFloor: 3, budgetWindow: 10_000, backoff: 50, backoffLimit: 2000 };
const QUARANTINE = { after: 2, time: 300_000, limit: 1000 };
const BUSY_PAUSE_MS = healthDefaults.busyPause;

export class World {
  readonly clock = virtualClock();
  readonly fleet: Fleet;
  readonly scheduler: Scheduler;
  readonly travellers = new Set<Traveller>();
  readonly machines = new Map<string, Machine>();
  readonly held = new Map<string, number>();
  /** What happened, one line each. */
  readonly log: string[] = [];
  told = new Map<string, Told>();
  policy: PolicyName;
  limit = 8;
  timeout = 20_000;
  queued = 0;
  /** Whatever went wrong where nobody could be told. */
  readonly faults: unknown[] = [];
  readonly #rng: Rng;
  readonly #retry;
  readonly #quarantine = createQuarantine(QUARANTINE);
  readonly #lastGranted = new Map<string, number>();
  #asked = 0;
  #acquired = 0;
  #requestTimes: Millis[] = [];
  #retryTimes: Millis[] = [];

  constructor(seed: number) {
    this.#rng = seededRng(seed);
    const emit = (event: Event): void => this.#observed(event);
    this.fleet = createFleet({ clock: this.clock, rng: seededRng(seed + 1), emit }, healthDefaults);
    this.#retry = createRetry({ rng: seededRng(seed + 2) }, RETRY);
    this.policy = choose(this.#rng, policyNames);
    for (const id of ids) for (const moved of [false, true]) this.#addMachine(specOf(id, moved, 1));
    this.#set(ids.map((id) => specOf(id, false, 1 + below(this.#rng, 2))));
    this.scheduler = createScheduler(
      {
        fleet: this.fleet,
        clock: this.clock,
        emit,
        policy: createPolicy(this.policy, seededRng(seed + 3)),
        perform: (intent, ended) => this.#perform(intent, ended),
      },
      {
        limit: this.limit,
        timeout: this.timeout,
        refuseEarly: this.#rng.next() < 0.5,
        ageing: 30_000,
        waitForBackend: true,
      },
    );
    for (const id of ids) this.#probe(id);
  }

  get waiting(): readonly Traveller[] {
    return [...this.travellers].filter(({ waiting }) => waiting !== null);
  }

  take(step: Step): void {
    this.log.push(`${this.clock.now()} ${JSON.stringify(step)}`);
    switch (step.do) {
      case 'ask':
        void this.#travel(this.#newTraveller(step)).catch((error: unknown) => void this.faults.push(error));
        break;
      case 'leave':
        this.#leave(step.which);
        break;
      case 'advance':
        break;
      case 'probe':
        this.#probe(step.id);
        break;
      case 'mood':
        this.#setMood(step);
        break;
      case 'inventory':
        this.#machine(step.id).models = step.models;
        break;
      case 'admin': {
        const told = this.told.get(step.id);
        if (told !== undefined) told.isDraining = step.state === 'draining';
        this.fleet.observe(step.id, { kind: 'admin', state: step.state });
        break;
      }
      case 'breaker':
        this.fleet.observe(step.id, { kind: 'breaker', state: step.state, reason: 'simulated' });
        break;
      case 'set':
        this.#set(step.backends.map(({ id, moved, slots }) => specOf(id, moved, slots)));
        break;
      case 'options':
        this.limit = step.limit;
        this.timeout = step.timeout;
        this.scheduler.setOptions({ ...step, refuseEarly: false, ageing: 30_000 });
        break;
      case 'health':
        this.fleet.setOptions({ ...healthDefaults, ejectAfter: step.ejectAfter });
        break;
      case 'policy':
        this.policy = step.name;
        this.scheduler.setPolicy(createPolicy(step.name, seededRng(step.seed)));
        break;
    }
  }

  /** Every machine works and the core is told so, with the whole fleet configured. */
  heal(): void {
    this.#set(ids.map((id) => specOf(id, false, 1)));
    for (const id of ids) {
      this.take({ do: 'inventory', id, models });
      this.take({ do: 'mood', id, mood: 'well' });
      this.take({ do: 'admin', id, state: 'active' });
      this.take({ do: 'breaker', id, state: 'closed' });
      for (let probe = 0; probe < healthDefaults.riseAfter; probe += 1) this.#probe(id);
    }
  }

  slotsOf(told: Told): number {
    if (told.spec.slots !== 'auto') return told.spec.slots;
    return this.policy === 'soonest' ? Number.POSITIVE_INFINITY : AUTO_SLOTS;
  }

  #newTraveller(step: Step & { do: 'ask' }): Traveller {
    const number = this.#asked++;
    const { client, model, priority, only, poison } = step;
    const limits = only === null ? {} : { only };
    return {
      job: job({ id: `r${number}`, client, address: client, model, priority, ...limits }),
      fingerprint: poison === null ? `f${number}` : `poison${poison}`,
      isPoison: poison !== null,
      client: new Client(),
      tried: [],
      sentTo: new Set(),
      broken: new Set(),
      waiting: null,
      running: null,
    };
  }

  /** The journey of a request, as src/http/journey.ts has it. */
  async #travel(traveller: Traveller): Promise<void> {
    const { job: asked, fingerprint, tried } = traveller;
    if (this.#quarantine.remaining(fingerprint, this.clock.now()) !== null)
      return this.#ended(traveller, 'quarantined');
    this.travellers.add(traveller);
    this.#requestTimes.push(this.clock.now());
    this.#retry.arrived(this.clock.now());
    const refusedBy = new Set<string>();
    let queuedMs = 0;
    for (;;) {
      const lease = await this.#acquire(traveller, queuedMs);
      if (lease instanceof GatewayError) return this.#ended(traveller, lease.code);
      queuedMs = lease.queuedMs;
      const end = await this.#attempt(traveller, lease);
      if (end.kind !== 'failed') return this.#ended(traveller, end.kind);
      const { failure } = end;
      this.log.push(`${asked.id} failed ${lease.backend} ${failure}`);
      if (!isUnsent(failure) || refusedBy.has(lease.backend)) tried.push(lease.backend);
      else refusedBy.add(lease.backend);
      if (!this.#mayRetry(traveller, failure)) return this.#ended(traveller, failure);
    }
  }

  async #acquire(traveller: Traveller, waitedMs: Millis): Promise<Lease | GatewayError> {
    const { client, job: asked, tried } = traveller;
    const number = this.#acquired++;
    const now = this.clock.now();
    traveller.waiting = { number, since: now, deadline: now + this.timeout - waitedMs };
    let endings = 0;
    const settledAs = <T>(result: T): T => {
      endings += 1;
      assert.equal(endings, 1, 'an acquire ends once');
      traveller.waiting = null;
      return result;
    };
    const result = await this.scheduler
      .acquire(asked, [...tried], client, waitedMs)
      .then(settledAs, (error: unknown) => settledAs(error instanceof GatewayError ? error : this.#unexpected(error)));
    if (result instanceof GatewayError) return result;
    this.#granted(traveller, result, number);
    return result;
  }

  #unexpected(error: unknown): GatewayError {
    this.faults.push(error);
    return new GatewayError('internal', 'the core threw what is no GatewayError');
  }

  /** What must hold of a lease when it is given. */
  #granted(traveller: Traveller, lease: Lease, number: number): void {
    const { job: asked, tried } = traveller;
    const told = this.told.get(lease.backend);
    assert.ok(told !== undefined, 'a lease is of a backend in the configuration');
    assert.ok(!told.isDraining, 'a draining backend is given nothing');
    assert.ok(!tried.includes(lease.backend), 'a backend that failed a request does not get it again');
    assert.ok(asked.only?.includes(lease.backend) ?? true, 'a request goes only where it may');
    assert.ok(told.models?.includes(asked.model!) ?? true, 'a request goes where its model is');
    assert.ok(this.clock.now() >= told.busyUntil, 'a busy backend is left alone for a moment');
    const machine = machineOf(told.spec);
    const held = (this.held.get(machine) ?? 0) + 1;
    assert.ok(held <= this.slotsOf(told), 'a backend holds no more leases than slots');
    this.held.set(machine, held);
    this.log.push(`${asked.id} leased ${lease.backend} ${lease.reason} after ${lease.queuedMs}`);
    if (this.policy === 'soonest') return;
    const { client, model, priority, only } = asked;
    const key = JSON.stringify([client, model, priority, only, [...tried].sort()]);
    assert.ok((this.#lastGranted.get(key) ?? -1) < number, 'first come, first served');
    this.#lastGranted.set(key, number);
  }

  #attempt(traveller: Traveller, lease: Lease): Promise<AttemptEnd> {
    const { spec } = this.told.get(lease.backend)!;
    return new Promise((resolve) => {
      const running: Running = {
        lease,
        machine: machineOf(spec),
        committed: false,
        timer: null,
        end: (how) => {
          if (traveller.running !== running) return;
          traveller.running = null;
          running.timer?.cancel();
          this.held.set(running.machine, this.held.get(running.machine)! - 1);
          this.#release(traveller, running, how);
          resolve(how);
        },
      };
      traveller.running = running;
      if (traveller.client.aborted) running.end({ kind: 'gone' });
      else this.#begin(traveller, running);
    });
  }

  #begin(traveller: Traveller, running: Running): void {
    const { mood, models: has } = this.machines.get(running.machine)!;
    const firstByteMs = 5 + below(this.#rng, mood === 'late' ? 60_000 : 1500);
    const fails = (failure: AttemptFailure, afterMs: Millis): void => {
      running.timer = this.clock.after(afterMs, () => running.end({ kind: 'failed', failure }));
    };
    if (mood !== 'killed') {
      traveller.sentTo.add(running.lease.backend);
      assert.ok(traveller.sentTo.size <= RETRY.backends, 'a request is sent to no more backends than configured');
    }
    if (mood === 'killed') fails('backend-refused', 1);
    else if (mood === 'busy') fails('backend-busy', 2);
    else if (mood === 'broken') fails('runner-failed', 3);
    else if (mood === 'missing' || !has.includes(traveller.job.model!)) fails('model-missing', 2);
    else if (firstByteMs > FIRST_BYTE_TIMEOUT_MS) fails('backend-first-byte-timeout', FIRST_BYTE_TIMEOUT_MS);
    else running.timer = this.clock.after(firstByteMs, () => this.#answer(traveller, running, firstByteMs));
  }

  #answer(traveller: Traveller, running: Running, firstByteMs: Millis): void {
    const machine = this.machines.get(running.machine)!;
    if (traveller.isPoison) return this.#kill(running.machine);
    if (machine.mood === 'hung') return this.#fall(running, 'backend-first-byte-timeout');
    running.committed = true;
    running.lease.firstByte(firstByteMs);
    running.timer = this.clock.after(10 + below(this.#rng, 3000), () => {
      if (machine.mood === 'hung') this.#fall(running, 'backend-idle-timeout');
      else if (machine.mood === 'truncating') running.end({ kind: 'failed', failure: 'backend-truncated' });
      else if (machine.mood === 'losing') running.end({ kind: 'failed', failure: 'backend-lost' });
      else running.end({ kind: 'done' });
    });
  }

  /** Nothing comes any more. */
  #fall(running: Running, failure: AttemptFailure): void {
    running.timer = this.clock.after(FIRST_BYTE_TIMEOUT_MS, () => running.end({ kind: 'failed', failure }));
  }

  #release(traveller: Traveller, { committed, lease, machine }: Running, how: AttemptEnd): void {
    lease.release(outcomeOf(how, committed));
    const now = this.clock.now();
    if (how.kind === 'done') this.#quarantine.answered(traveller.fingerprint);
    if (how.kind !== 'failed') return;
    const told = this.#known.get(machine);
    if (how.failure === 'backend-busy' && told !== undefined) told.busyUntil = now + BUSY_PAUSE_MS;
    if (!isLethal(how.failure)) return;
    this.#quarantine.broke(traveller.fingerprint, lease.backend, now);
    traveller.broken.add(lease.backend);
    if (traveller.broken.size >= QUARANTINE.after)
      assert.ok(this.#quarantine.remaining(traveller.fingerprint, now) !== null, 'what broke two backends is refused');
  }

  #mayRetry(traveller: Traveller, failure: AttemptFailure): boolean {
    const now = this.clock.now();
    const { client, fingerprint, tried } = traveller;
    if (client.aborted || this.#quarantine.remaining(fingerprint, now) !== null) return false;
    const committed =
      failure === 'backend-lost' || failure === 'backend-truncated' || failure === 'backend-idle-timeout';
    const { retry } = this.#retry.decide(
      {
        failure,
        committed,
        repeatable: true,
        tried: Math.max(1, tried.length),
        remainingMs: Number.POSITIVE_INFINITY,
        retryAfterMs: null,
      },
      now,
    );
    assert.ok(!(retry && committed), 'nothing is repeated after its first byte');
    if (retry && !isUnsent(failure)) this.#spent(now);
    return retry;
  }

  /** The budget is counted in tenths of its window: whoever counts strictly must find no more than it allows. */
  #spent(now: Millis): void {
    const { budget, budgetFloor, budgetWindow } = RETRY;
    this.#requestTimes = this.#requestTimes.filter((at) => at > now - budgetWindow);
    this.#retryTimes = this.#retryTimes.filter((at) => at > now - budgetWindow * 0.9);
    this.#retryTimes.push(now);
    const allowed = Math.max(budgetFloor, budget * this.#requestTimes.length);
    assert.ok(this.#retryTimes.length <= allowed, 'retries stay within their budget');
  }

  #ended(traveller: Traveller, how: string): void {
    this.travellers.delete(traveller);
    this.log.push(`${traveller.job.id} ended ${how}`);
  }

  #leave(which: number): void {
    const all = [...this.travellers];
    const leaver = all[which % Math.max(1, all.length)];
    if (leaver === undefined) return;
    leaver.client.leave();
    leaver.running?.end({ kind: 'gone' });
  }

  #setMood({ id, mood }: Step & { do: 'mood' }): void {
    const told = this.told.get(id);
    if (told === undefined) return;
    if (mood === 'killed') this.#kill(machineOf(told.spec));
    else this.machines.get(machineOf(told.spec))!.mood = mood;
  }

  #kill(machine: string): void {
    this.machines.get(machine)!.mood = 'killed';
    for (const { running } of this.travellers) {
      if (running?.machine !== machine) continue;
      running.end({ kind: 'failed', failure: running.committed ? 'backend-lost' : 'backend-reset' });
    }
  }

  #probe(id: string): void {
    const told = this.told.get(id);
    if (told === undefined) return;
    const { mood, models: has } = this.machines.get(machineOf(told.spec))!;
    if (mood === 'killed' || mood === 'hung') {
      this.fleet.observe(id, { kind: 'probe-failed', reason: mood });
      return;
    }
    told.models = has;
    this.fleet.observe(id, { kind: 'inventory', models: has.map((name) => installed(name)) });
    this.fleet.observe(id, { kind: 'resident', models: has.slice(0, 1).map((name) => resident(name)) });
    // Last, so that what is given out at once is given to a backend whose models are known.
    this.fleet.observe(id, { kind: 'alive', version: '0.33.0' });
  }

  #perform({ kind, backend: id, model }: Intent, ended: (tookMs: Millis | null) => void): void {
    this.clock.after(800, () => {
      const mood = this.#machine(id).mood;
      const works = mood !== 'killed' && mood !== 'hung';
      if (works) {
        const observed = kind === 'load' ? 'loaded' : 'unloaded';
        this.fleet.observe(id, { kind: observed, model, reason: 'planned', ms: 800 });
      }
      ended(works ? 800 : null);
    });
  }

  #machine(id: string): Machine {
    const told = this.told.get(id);
    return this.machines.get(told === undefined ? machineOf(specOf(id, false, 1)) : machineOf(told.spec))!;
  }

  #addMachine(spec: BackendSpec): void {
    this.machines.set(machineOf(spec), { mood: 'well', models: models.filter(() => this.#rng.next() < 0.8) });
  }

  #set(specs: readonly BackendSpec[]): void {
    const before = this.#known;
    this.told = new Map(
      specs.map((spec) => {
        const known = before.get(machineOf(spec));
        const isKept =
          known !== undefined &&
          (this.told.get(spec.id)?.spec.url === spec.url || (this.held.get(machineOf(spec)) ?? 0) > 0);
        return [spec.id, isKept ? { ...known, spec } : { spec, isDraining: false, models: null, busyUntil: 0 }];
      }),
    );
    this.#known = new Map([...before, ...[...this.told.values()].map((told) => [machineOf(told.spec), told] as const)]);
    this.fleet.set(specs);
  }

  /** The last thing told of each machine, configured or not. */
  #known = new Map<string, Told>();

  #observed(event: Event): void {
    if (event.kind === 'queued') this.queued += 1;
    if (event.kind === 'dequeued') this.queued -= 1;
    this.log.push(JSON.stringify(event));
  }
}

function outcomeOf(how: AttemptEnd, committed: boolean): Outcome {
  if (how.kind === 'done') return { kind: 'done', usage: {}, firstByteMs: 5 };
  if (how.kind === 'gone') return { kind: 'client-gone', phase: committed ? 'streaming' : 'waiting', usage: {} };
  return failureOutcome(how.failure, committed);
}

function specOf(id: string, moved: boolean, slots: number | 'auto'): BackendSpec {
  return backend(id, { slots, url: `http://${id}${moved ? '-moved' : ''}.example:11434` });
}
