/**
 * The policy `soonest` with the real core in front of simulated Ollamas, over any history: what it promises whatever comes.
 * ROUTING_RUNS sets how many histories; the default is small, the full programme is 10,000.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { EventLoop } from '../../bench/sim/event-loop.ts';
import { createFleet, type Fleet } from '../../src/core/fleet.ts';
import type { Intent } from '../../src/core/planner.ts';
import { Soonest } from '../../src/core/routing/soonest.ts';
import { createScheduler, type Lease, type Scheduler } from '../../src/core/scheduler.ts';
import type { Job, Outcome, Usage } from '../../src/core/types.ts';
import { createOllamaScheduler, type OllamaScheduler } from '../../src/simulator/scheduler.ts';
import type { SimulatedModel, Timing } from '../../src/simulator/scheduler-types.ts';
import { seededRng } from '../../src/simulator/luck.ts';
import { backend, healthDefaults, installed, job, resident } from '../support/build.ts';

const runs = Number(process.env['ROUTING_RUNS'] ?? 150);
const PATIENCE_MS = 30_000;
/** No prompt here takes longer, so that no job may wait longer for a warm backend by choice. */
const LONGEST_CHOICE_MS = 15_000;

interface Setting {
  readonly backends: readonly { readonly parallel: number; readonly places: number; readonly speed: number }[];
  readonly loadMs: number;
  readonly told: boolean;
}

interface Arrival {
  readonly gapMs: number;
  readonly model: number;
  readonly context: number;
  readonly conversation: number;
  readonly tokens: number;
  readonly outputTokens: number;
  /** Leaves after so long, whatever has become of it; null stays. */
  readonly leavesMs: number | null;
}

interface Trouble {
  readonly atMs: number;
  readonly backend: number;
  readonly kind: 'drain' | 'crash' | 'client-unloads' | 'load-fails';
  readonly model: number;
}

interface Sent {
  readonly job: Job;
  readonly model: number;
  readonly context: number;
  readonly since: number;
  readonly client: AbortController;
  lease: Lease | null;
  ended: 'done' | 'failed' | 'left' | null;
  endedAt: number;
}

const names = ['a', 'b', 'c', 'd'];

class World {
  readonly loop = new EventLoop();
  readonly fleet: Fleet;
  readonly planner: Soonest;
  readonly scheduler: Scheduler;
  readonly ollamas: readonly OllamaScheduler[];
  readonly models: readonly SimulatedModel[];
  readonly sent: Sent[] = [];
  readonly log: string[] = [];
  readonly #setting: Setting;
  readonly #loading = new Set<number>();
  /** Whether something happened that Llamero could not foresee, so that Ollama may have to evict or queue by itself. */
  troubled = false;
  failLoads = 0;

  constructor(setting: Setting, seed: number) {
    this.#setting = setting;
    const { loop } = this;
    this.models = Array.from({ length: 4 }, (_, index) => ({
      name: `m${index}:latest`,
      blob: `sha256-${index}`,
      sizeBytes: 1e9,
    }));
    this.ollamas = setting.backends.map(({ parallel, places, speed }, index) =>
      createOllamaScheduler(
        {
          numParallel: parallel,
          maxLoadedModels: places,
          loadMs: setting.loadMs,
          speed,
          keepAliveMs: 120_000,
          prefillTokensPerSecond: 1000,
          decodeTokensPerSecond: 50,
          cachedPrompts: 10,
        },
        loop,
        seededRng(seed, 'ollama', index),
      ),
    );
    this.fleet = createFleet({ clock: loop, rng: seededRng(seed, 'fleet'), emit: () => {} }, healthDefaults);
    this.planner = new Soonest(
      { patience: PATIENCE_MS, headroom: 0.0625, prompts: 10, decisions: 10_000 },
      seededRng(seed, 'planner'),
    );
    this.scheduler = createScheduler(
      {
        fleet: this.fleet,
        policy: this.planner,
        clock: loop,
        emit: () => {},
        perform: (intent, ended) => this.#perform(intent, ended),
      },
      { limit: 10_000, timeout: 1e9, refuseEarly: false, ageing: 30_000, waitForBackend: true },
    );
    this.fleet.set(
      setting.backends.map(({ parallel, places }, index) =>
        backend(names[index]!, setting.told ? { slots: 'auto', parallel, places } : { slots: 'auto' }),
      ),
    );
    for (const [index] of setting.backends.entries()) {
      this.fleet.observe(names[index]!, { kind: 'alive', version: '0.33.0' });
      this.fleet.observe(names[index]!, { kind: 'inventory', models: this.models.map(({ name }) => installed(name)) });
    }
    this.#observe();
  }

  arrive({ model, context, conversation, tokens, outputTokens, leavesMs }: Arrival): void {
    const { name } = this.models[model]!;
    const one: Sent = {
      job: job({
        model: name,
        runnerOptions: context === 0 ? '' : `num_ctx=${context}`,
        promptTokens: tokens,
        prefix: [{ hash: `${model} ${conversation}`, tokens: Math.min(tokens, 500) }],
      }),
      model,
      context,
      since: this.loop.now(),
      client: new AbortController(),
      lease: null,
      ended: null,
      endedAt: 0,
    };
    this.sent.push(one);
    const { signal } = one.client;
    this.loop.waitFor(
      this.scheduler.acquire(one.job, [], signal).then(
        (lease) => this.#forward(one, lease, outputTokens),
        () => this.#end(one, signal.aborted ? 'left' : 'failed'),
      ),
    );
    if (leavesMs !== null) this.loop.after(leavesMs, () => one.client.abort());
  }

  trouble({ backend: index, kind, model }: Trouble): void {
    const ollama = this.ollamas[index % this.ollamas.length]!;
    const id = names[index % this.ollamas.length]!;
    this.troubled = true;
    if (kind === 'drain') {
      this.fleet.observe(id, { kind: 'admin', state: 'draining' });
      this.loop.after(40_000, () => this.fleet.observe(id, { kind: 'admin', state: 'active' }));
    } else if (kind === 'crash') {
      ollama.crash(this.models[model]!);
    } else if (kind === 'client-unloads') {
      ollama.unload(this.models[model]!);
    } else {
      this.failLoads += 1;
    }
  }

  check(): void {
    const held = this.fleet.view().reduce((sum, { inFlight }) => sum + inFlight, 0);
    const running = this.sent.filter(({ lease, ended }) => lease !== null && ended === null).length;
    assert.equal(held, running, 'no lease is lost');
    assert.equal(this.scheduler.view().leases, held);
    if (this.#setting.told && !this.troubled) this.#checkSlots();
    this.#checkIdleSlots();
  }

  /** Nobody waits inside a backend, and no backend makes room by itself: all that is the gateway's business. */
  #checkSlots(): void {
    for (const ollama of this.ollamas) {
      const { runners, evictions, pending } = ollama.snapshot();
      assert.equal(evictions, 0, 'Ollama never has to evict');
      assert.equal(pending, 0, 'nobody waits for its loader');
      for (const { waiting } of runners) assert.equal(waiting, 0, 'nobody waits for its slots');
    }
  }

  #checkIdleSlots(): void {
    const now = this.loop.now();
    for (const { job: waiting, lease, ended } of this.sent) {
      if (lease !== null || ended !== null || this.#waitsByChoice(waiting, now)) continue;
      for (const { id, state } of this.fleet.view()) {
        const runner = this.planner.knowledge.backend(id).runners.get(keyOf(waiting));
        if (state !== 'up' || runner?.phase !== 'ready') continue;
        const limit = this.planner.knowledge.limit(runner, now);
        assert.ok(runner.inFlight >= limit, `a slot of ${id} is idle while a job that fits it waits`);
      }
    }
  }

  #waitsByChoice({ id }: Job, now: number): boolean {
    const held = this.planner.decisions().find((decision) => decision.kind === 'held' && decision.job === id);
    if (held?.kind !== 'held') return false;
    assert.ok(held.forMs < LONGEST_CHOICE_MS, 'no choice costs more than a prompt');
    return now < held.at + held.forMs;
  }

  async finish(): Promise<void> {
    const until = this.loop.now() + 3_600_000;
    while (this.loop.now() < until && this.sent.some(({ ended }) => ended === null)) {
      await this.loop.runUntilSettled(this.loop.now() + 5000);
      this.check();
    }
    for (const { ended, job: one } of this.sent) assert.notEqual(ended, null, `${one.id} is served in the end`);
    assert.equal(this.scheduler.view().waiting, 0);
  }

  #forward(one: Sent, lease: Lease, outputTokens: number): void {
    one.lease = lease;
    const index = names.indexOf(lease.backend);
    this.log.push(`${this.loop.now().toFixed(3)} ${this.sent.indexOf(one)} ${lease.backend} ${lease.reason}`);
    const release = (outcome: Outcome, how: 'done' | 'failed' | 'left'): void => {
      if (one.ended !== null) return;
      this.#end(one, how);
      lease.release(outcome);
    };
    const handle = this.ollamas[index]!.submit(
      {
        model: this.models[one.model]!,
        options: one.context === 0 ? {} : { num_ctx: one.context },
        keepAliveMs: null,
        task: 'generate',
        promptTokens: one.job.promptTokens,
        outputTokens,
        prefix: one.job.prefix,
      },
      {
        firstToken: () => lease.firstByte(0),
        done: (timing) => release({ kind: 'done', usage: usageOf(timing), firstByteMs: null }, 'done'),
        failed: () => release({ kind: 'failed', failure: 'x', against: 'model', committed: true }, 'failed'),
      },
    );
    one.client.signal.addEventListener('abort', () => {
      if (one.ended !== null) return;
      handle.cancel();
      release({ kind: 'client-gone', phase: 'streaming', usage: {} }, 'left');
    });
  }

  #end(one: Sent, how: 'done' | 'failed' | 'left'): void {
    one.ended = how;
    one.endedAt = this.loop.now();
  }

  #perform({ kind, backend: id, model, runnerOptions }: Intent, ended: (tookMs: number | null) => void): void {
    const index = names.indexOf(id);
    const ollama = this.ollamas[index]!;
    const target = this.models.find(({ name }) => name === model)!;
    this.log.push(`${this.loop.now().toFixed(3)} ${kind} ${id} ${model} ${runnerOptions}`);
    if (kind === 'unload') {
      const busy = ollama.resident().find((runner) => runner.model === target)?.busy ?? false;
      assert.ok(!busy || this.troubled, 'only what is idle is unloaded');
      ollama.unload(target);
      return ended(0);
    }
    assert.ok(!this.#loading.has(index), 'one load at a time on a backend');
    this.#loading.add(index);
    const startedAt = this.loop.now();
    if (this.failLoads > 0) {
      this.failLoads -= 1;
      this.loop.after(1000, () => {
        this.#loading.delete(index);
        ended(null);
      });
      return;
    }
    ollama.submit(
      {
        model: target,
        options: runnerOptions === '' ? {} : { num_ctx: Number(runnerOptions.split('=')[1]) },
        keepAliveMs: null,
        task: 'load',
        promptTokens: 0,
        outputTokens: 0,
        prefix: [],
      },
      {
        done: () => {
          this.#loading.delete(index);
          ended(this.loop.now() - startedAt);
        },
        failed: () => {
          this.#loading.delete(index);
          ended(null);
        },
      },
    );
  }

  #observe(): void {
    for (const [index, ollama] of this.ollamas.entries()) {
      const models = ollama.resident().map(({ model }) => resident(model.name));
      this.fleet.observe(names[index]!, { kind: 'resident', models });
    }
    this.loop.after(5000, () => this.#observe());
  }
}

function keyOf({ model, runnerOptions }: Job): string {
  return runnerOptions === '' ? model! : `${model}\t${runnerOptions}`;
}

function usageOf({ promptTokens, outputTokens, loadMs, promptMs, outputMs, totalMs }: Timing): Usage {
  return { promptTokens, outputTokens, loadMs, promptMs, outputMs, totalMs };
}

const settings: fc.Arbitrary<Setting> = fc.record({
  backends: fc.array(
    fc.record({
      parallel: fc.integer({ min: 1, max: 3 }),
      places: fc.integer({ min: 1, max: 2 }),
      speed: fc.constantFrom(1, 1, 0.5),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  loadMs: fc.constantFrom(500, 5000, 20_000),
  told: fc.boolean(),
});

const arrival: fc.Arbitrary<Arrival> = fc.record({
  gapMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 30_000 })),
  model: fc.constantFrom(0, 0, 0, 1, 1, 2, 3),
  context: fc.constantFrom(0, 0, 0, 8192),
  conversation: fc.integer({ min: 0, max: 3 }),
  tokens: fc.integer({ min: 1, max: 2000 }),
  outputTokens: fc.integer({ min: 0, max: 200 }),
  leavesMs: fc.oneof(
    { weight: 4, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
  ),
});

const trouble: fc.Arbitrary<Trouble> = fc.record({
  atMs: fc.integer({ min: 0, max: 200_000 }),
  backend: fc.integer({ min: 0, max: 3 }),
  kind: fc.constantFrom('drain', 'crash', 'client-unloads', 'load-fails'),
  model: fc.integer({ min: 0, max: 3 }),
});

async function history(
  setting: Setting,
  arrivals: readonly Arrival[],
  troubles: readonly Trouble[],
  seed: number,
): Promise<World> {
  const world = new World(setting, seed);
  for (const one of troubles) world.loop.after(one.atMs, () => world.trouble(one));
  for (const one of arrivals) {
    await world.loop.runUntilSettled(world.loop.now() + one.gapMs);
    world.arrive(one);
    await world.loop.runUntilSettled(world.loop.now());
    world.check();
  }
  await world.finish();
  return world;
}

describe('soonest, over any history', () => {
  it('exceeds no slot, leaves none idle, loses no lease, and serves everybody', async () => {
    await fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(arrival, { minLength: 1, maxLength: 40 }),
        fc.oneof(
          { weight: 2, arbitrary: fc.constant([]) },
          { weight: 1, arbitrary: fc.array(trouble, { maxLength: 4 }) },
        ),
        fc.integer(),
        async (setting, arrivals, troubles, seed) => void (await history(setting, arrivals, troubles, seed)),
      ),
      { numRuns: runs },
    );
  });

  it('decides the same for the same seed', async () => {
    await fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(arrival, { minLength: 1, maxLength: 25 }),
        fc.integer(),
        async (setting, arrivals, seed) => {
          const [one, other] = [await history(setting, arrivals, [], seed), await history(setting, arrivals, [], seed)];
          assert.deepEqual(one.log, other.log);
        },
      ),
      { numRuns: Math.ceil(runs / 10) },
    );
  });
});

describe('soonest, when one model keeps a place busy', () => {
  /** Two clients that never stop asking for model 0; one request for model 1 after a minute. */
  async function starved(): Promise<World> {
    const world = new World({ backends: [{ parallel: 2, places: 1, speed: 1 }], loadMs: 5000, told: true }, 11);
    const steady: Arrival = {
      gapMs: 0,
      model: 0,
      context: 0,
      conversation: 0,
      tokens: 200,
      outputTokens: 100,
      leavesMs: null,
    };
    for (let second = 0; second < 300; second += 1) {
      world.arrive({ ...steady, conversation: second % 4 });
      if (second === 60) world.arrive({ ...steady, model: 1 });
      await world.loop.runUntilSettled(world.loop.now() + 1800);
      world.check();
    }
    await world.finish();
    return world;
  }

  it('serves another within its patience and a load, and swaps once there and once back', async () => {
    const world = await starved();
    const other = world.sent.find(({ model }) => model === 1)!;
    // Patience, the drain of what runs, a load of at most 7 s, and the answer.
    assert.ok(other.endedAt - other.since < PATIENCE_MS + 5000 + 7000 + 5000, String(other.endedAt - other.since));
    const loads = world.log.filter((line) => line.includes(' load '));
    assert.deepEqual(
      loads.map((line) => line.split(' ')[3]),
      ['m0:latest', 'm1:latest', 'm0:latest'],
    );
  });
});
