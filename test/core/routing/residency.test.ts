/** When a model is given a place, and whose. What comes of it for jobs is in soonest.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Demands } from '../../../src/core/routing/demand.ts';
import { Knowledge, runnerKey, type RunnerState } from '../../../src/core/routing/knowledge.ts';
import { Residency, type Plan, type Wanted } from '../../../src/core/routing/residency.ts';
import { backend, job, resident } from '../../support/build.ts';

const PATIENCE = 60_000;
const LOAD = 10_000;
const HOLD = 2000;

/** Backends of one place each, whose loads take 10 s and whose slots are held for 2 s. */
class Bench {
  readonly knowledge = new Knowledge(10);
  readonly demands = new Demands();
  /** Jobs that wait for `new:latest`. */
  waiting = 1;
  readonly residency = new Residency(this.knowledge, this.demands, ({ model }) =>
    model === 'new:latest' ? this.waiting : 0,
  );

  constructor(memory: Readonly<Record<string, readonly string[]>>, rest: Parameters<typeof backend>[1] = {}) {
    const taught = this.knowledge.runner(Object.keys(memory)[0]!, job({ model: 'taught:latest' }), 0);
    this.knowledge.loaded(taught, LOAD);
    this.knowledge.slotHeld(taught, HOLD);
    for (const [id, models] of Object.entries(memory)) {
      this.knowledge.configure(backend(id, { places: 1, parallel: 1, ...rest }));
      this.knowledge.observe(
        id,
        models.map((model) => resident(model)),
        0,
      );
    }
  }

  runner(id: string, model: string): RunnerState {
    return this.knowledge.backend(id).runners.get(model)!;
  }

  consider(now: number, overrides: Partial<Wanted> = {}): Plan | number {
    const one = overrides.job ?? job({ model: 'new:latest' });
    const everywhere = [...this.knowledge.backends].map(({ id }) => id);
    const wanted: Wanted = {
      key: runnerKey(one.model!, one.runnerOptions),
      job: one,
      waiting: this.waiting,
      since: 0,
      deadline: 1e9,
      allows: () => true,
      allowed: () => everywhere,
      ...overrides,
    };
    return this.residency.consider(wanted, { patience: PATIENCE }, now);
  }

  /** The plan that is made; a failure when there is none. */
  plan(now: number, overrides: Partial<Wanted> = {}): Plan {
    const plan = this.consider(now, overrides);
    if (typeof plan === 'number') assert.fail(`none before ${plan}`);
    return plan;
  }
}

const where = ({ runner, victims }: Plan) => [runner.backend.id, ...victims.map(({ model }) => model)];

describe('a place for a model', () => {
  it('is had at once where there is room, and nobody has to go for it', () => {
    const bench = new Bench({ a: ['old:latest'], b: [] });
    const plan = bench.plan(1000);
    assert.deepEqual(where(plan), ['b']);
    assert.equal(plan.priceMs, 0);
    assert.deepEqual(bench.residency.ripe(1000), [plan]);
    assert.deepEqual(bench.residency.ripe(1000), [], 'given out once');
    assert.equal(plan.runner.phase, 'loading');
  });

  it('is not bought twice while it is coming', () => {
    const bench = new Bench({ a: [], b: [] });
    bench.plan(1000);
    assert.equal(bench.consider(1000), Infinity);
    bench.residency.ripe(1000);
    assert.equal(bench.consider(2000), Infinity);
    assert.equal(bench.residency.plans.size, 1);
  });

  it('is not to be had where no list of models in memory has come, or where the fleet lets nobody go', () => {
    const bench = new Bench({ a: ['old:latest'] });
    bench.knowledge.configure(backend('silent', { places: 1 }));
    assert.deepEqual(where(bench.plan(20_000)), ['a', 'old:latest']);
    const closed = new Bench({ a: [], b: [] });
    assert.deepEqual(where(closed.plan(1000, { allows: (id) => id === 'b' })), ['b']);
    const none = new Bench({ a: [] });
    assert.equal(none.consider(PATIENCE, { allows: () => false, allowed: () => [] }), Infinity);
  });

  it('is had on a backend of last resort where no other may have it', () => {
    const bench = new Bench({ a: [], b: [] });
    assert.deepEqual(where(bench.plan(1000, { allows: () => false, allowed: () => ['b'] })), ['b']);
  });

  it('is had in the lowest tier that has one', () => {
    const bench = new Bench({ a: [], b: [] });
    bench.knowledge.configure(backend('a', { places: 1, tier: 2 }));
    assert.deepEqual(where(bench.plan(1000)), ['b']);
    assert.deepEqual(where(bench.plan(1000, { job: job({ model: 'other:latest' }) })), ['a'], 'the next is taken');
  });

  it('is had beside others as far as the memory goes', () => {
    const bench = new Bench({ a: ['old:latest'] }, { places: 2 });
    assert.deepEqual(where(bench.plan(1000)), ['a']);
  });
});

describe('a model that is in the way', () => {
  it('goes at once when nobody wants it', () => {
    const bench = new Bench({ a: ['old:latest'] });
    const plan = bench.plan(20_000);
    assert.deepEqual(where(plan), ['a', 'old:latest']);
    assert.equal(bench.runner('a', 'old:latest').phase, 'draining');
    bench.residency.ripe(20_000);
    assert.equal(bench.runner('a', 'old:latest').phase, 'absent');
  });

  it('stays until it has been worth its load', () => {
    const bench = new Bench({ a: ['old:latest'] });
    assert.equal(typeof bench.consider(1000, { since: 1000 }), 'number');
  });

  it('goes when it has served those that use it, and not before', () => {
    const bench = new Bench({ a: ['old:latest'] });
    const old = bench.runner('a', 'old:latest');
    old.inFlight = 1;
    const plan = bench.plan(PATIENCE);
    assert.deepEqual(bench.residency.ripe(PATIENCE), []);
    old.inFlight = 0;
    assert.deepEqual(bench.residency.ripe(PATIENCE + 1), [plan]);
  });

  it('serves again when nobody waits any more for what is to take its place', () => {
    const bench = new Bench({ a: ['old:latest'] });
    const old = bench.runner('a', 'old:latest');
    old.inFlight = 1;
    bench.plan(PATIENCE);
    assert.equal(bench.residency.giveUp(PATIENCE), false, 'somebody waits');
    bench.waiting = 0;
    assert.equal(bench.residency.giveUp(PATIENCE), true);
    assert.equal(old.phase, 'ready');
    assert.equal(bench.residency.plans.size, 0);
    bench.waiting = 1;
    old.inFlight = 0;
    bench.plan(PATIENCE);
    bench.residency.ripe(PATIENCE);
    bench.waiting = 0;
    assert.equal(bench.residency.giveUp(PATIENCE), false, 'a load that has begun goes on');
  });

  it('stays while it is wanted, until the waiting has cost as much or somebody has waited too long', () => {
    const bench = new Bench({ a: ['old:latest'] });
    for (let at = 0; at < 60_000; at += 500) bench.demands.came('old:latest', at);
    const now = 60_000;
    const again = bench.consider(now, { since: now });
    assert.ok(typeof again === 'number' && again > now && again <= now + PATIENCE, String(again));
    assert.deepEqual(where(bench.plan(now + PATIENCE, { since: now })), ['a', 'old:latest']);
  });

  it('stays the less long the more wait for the other', () => {
    const wait = (waiting: number): number => {
      const bench = new Bench({ a: ['old:latest'] });
      bench.waiting = waiting;
      for (let at = 0; at < 60_000; at += 5000) bench.demands.came('old:latest', at);
      for (let now = 60_000; ; now += 100) if (typeof bench.consider(now, { since: 60_000 }) !== 'number') return now;
    };
    const [one, ten] = [wait(1), wait(10)];
    assert.ok(ten < one, `${ten} and ${one}`);
  });

  it('is pushed out in time for who would otherwise give up before the load has ended', () => {
    const bench = new Bench({ a: ['old:latest'] });
    for (let at = 0; at < 60_000; at += 500) bench.demands.came('old:latest', at);
    const deadline = 60_000 + 20_000;
    const latest = deadline - LOAD - HOLD;
    assert.equal(typeof bench.consider(latest - 1, { since: 60_000, deadline }), 'number');
    assert.deepEqual(where(bench.plan(latest, { since: 60_000, deadline })), ['a', 'old:latest']);
  });

  it('is the one that is wanted least', () => {
    const bench = new Bench({ a: ['wanted:latest'], b: ['idle:latest'] });
    for (let at = 0; at < 60_000; at += 500) bench.demands.came('wanted:latest', at);
    assert.deepEqual(where(bench.plan(60_000)), ['b', 'idle:latest']);
    const full = new Bench({ a: ['wanted:latest', 'idle:latest'] }, { places: 2 });
    for (let at = 0; at < 60_000; at += 500) full.demands.came('wanted:latest', at);
    assert.deepEqual(where(full.plan(60_000)), ['a', 'idle:latest']);
  });

  it('is the same model with other options, whatever room there is: a backend holds one of them', () => {
    const bench = new Bench({ a: ['new:latest'] }, { places: 5 });
    const plan = bench.plan(PATIENCE, { job: job({ model: 'new:latest', runnerOptions: 'num_ctx=9' }) });
    assert.deepEqual(where(plan), ['a', 'new:latest']);
    assert.equal(plan.runner.options, 'num_ctx=9');
  });
});

describe('a load', () => {
  it('that ended has made the model ready, and its time is learnt', () => {
    const bench = new Bench({ a: [] });
    const { runner } = bench.plan(1000);
    bench.residency.ripe(1000);
    bench.residency.ended('a', 4000, 5000);
    assert.deepEqual([runner.phase, runner.failedAt, bench.residency.plans.size], ['ready', null, 0]);
    assert.equal(bench.knowledge.expectedLoadMs('new:latest', runner), 4000);
  });

  it('that failed is not tried again there for half a minute', () => {
    const bench = new Bench({ a: [] });
    const { runner } = bench.plan(1000);
    bench.residency.ripe(1000);
    bench.residency.ended('a', null, 5000);
    assert.deepEqual([runner.phase, runner.failedAt], ['absent', 5000]);
    assert.equal(typeof bench.consider(34_999), 'number');
    assert.deepEqual(where(bench.plan(35_000)), ['a']);
  });

  it('that nobody planned changes nothing', () => {
    const bench = new Bench({ a: ['old:latest'] });
    bench.residency.ended('a', 4000, 5000);
    assert.equal(bench.runner('a', 'old:latest').phase, 'ready');
  });
});

describe('a further replica', () => {
  it('is bought when waiting has cost more than a load, however long anybody has waited', () => {
    const bench = new Bench({ a: ['new:latest'], b: [] });
    bench.runner('a', 'new:latest').inFlight = 1;
    bench.waiting = 2;
    const again = bench.consider(2 * PATIENCE);
    assert.equal(again, 2 * PATIENCE + LOAD / 2, 'two wait for 5 s each, which is the load');
    const plan = bench.plan(2 * PATIENCE + LOAD / 2);
    assert.deepEqual(where(plan), ['b']);
    assert.deepEqual([plan.priceMs, plan.regretMs], [LOAD, LOAD]);
  });
});
