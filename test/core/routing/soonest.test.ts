import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendSpec } from '../../../src/core/backend.ts';
import type { GatewayError } from '../../../src/core/errors.ts';
import type { Learnt } from '../../../src/core/routing/knowledge.ts';
import type { Usage } from '../../../src/core/types.ts';
import { backend, installed, job } from '../../support/build.ts';
import { Soonest } from '../../../src/core/routing/soonest.ts';
import { routed, type Asked, type Routed } from '../../support/routed.ts';
import { seededRng } from '../../support/random.ts';
import { settled } from '../../support/virtual-clock.ts';

/** `auto` slots, as most operators leave them, and told how many slots a runner and places a backend have. */
const node = (id: string, parallel = 1, rest = {}) => backend(id, { slots: 'auto', parallel, places: 1, ...rest });

/** 1,000 prompt tokens a second, alone. */
const usage = (promptTokens: number, outputMs = 1000): Usage => ({
  promptTokens,
  promptMs: 20 + promptTokens,
  outputMs,
  loadMs: 1,
  totalMs: 21 + promptTokens + outputMs,
});

/** Where it went; null while it waits. */
const where = ({ lease }: Asked): string | null => lease?.backend ?? null;

/** Teaches a warm backend its speed: 1,000 tokens/s, slots held for 3 s. */
async function teach(bench: Routed, backendId: string): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    const asked = bench.ask({ only: [backendId], promptTokens: 2000 });
    await bench.clock.advance(3000);
    await asked.done(usage(2000));
  }
}

describe('soonest: where the model is in memory', () => {
  it('sends a job there, although another backend is idle', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('b', 'm:latest');
    for (let round = 0; round < 20; round += 1) {
      const asked = bench.ask();
      await settled();
      assert.equal(asked.lease?.backend, 'b');
      assert.equal(asked.lease?.reason, 'warm');
      await asked.done();
    }
    assert.deepEqual(bench.intents, []);
  });

  it('spreads jobs over replicas, and to the one with twice the weight twice as many', async () => {
    const bench = await routed([node('a', 100, { weight: 2 }), node('b', 100)]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    for (let count = 0; count < 90; count += 1) bench.ask({ promptTokens: 1000 });
    await settled();
    const [a, b] = bench.fleet.view().map(({ inFlight }) => inFlight);
    assert.ok(Math.abs(a! - 60) <= 2 && 90 === a! + b!, `${a} and ${b}`);
  });

  it('holds jobs beyond the slots of a runner, and lets them go in order', async () => {
    const bench = await routed([node('a', 2)]);
    await bench.inMemory('a', 'm:latest');
    const asked = [bench.ask(), bench.ask(), bench.ask(), bench.ask()];
    await settled();
    const going = () => asked.filter(({ lease }) => lease !== null).length;
    assert.equal(going(), 2);
    await asked[0]!.done();
    assert.notEqual(asked[2]!.lease, null);
    assert.equal(asked[3]!.lease, null);
    await asked[1]!.done();
    assert.equal(going(), 4);
  });

  it('counts slots per model: two models of a backend do not take each other’s', async () => {
    const bench = await routed([node('a', 1, { places: 2 })], { models: ['m:latest', 'n:latest'] });
    await bench.inMemory('a', 'm:latest', 'n:latest');
    const [m, n] = [bench.ask(), bench.ask({ model: 'n:latest' })];
    await settled();
    assert.ok(m.lease !== null && n.lease !== null);
  });

  it('respects the limit the operator sets for a backend as a whole, and wakes other models when it has room', async () => {
    const bench = await routed([backend('a', { slots: 1, parallel: 4, places: 2 })], {
      models: ['m:latest', 'n:latest'],
    });
    await bench.inMemory('a', 'm:latest', 'n:latest');
    const m = bench.ask();
    const n = bench.ask({ model: 'n:latest' });
    await settled();
    assert.equal(where(n), null);
    await m.done();
    assert.equal(where(n), 'a');
  });

  it('uses tier 2 only when tier 1 has no slot', async () => {
    const bench = await routed([node('a', 1, { tier: 2 }), node('b', 1)]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    const [first, second] = [bench.ask(), bench.ask()];
    await settled();
    assert.equal(first.lease?.backend, 'b');
    assert.equal(second.lease?.backend, 'a');
  });

  it('does not send a job where it has been tried, nor to a backend that is down', async () => {
    const bench = await routed([node('a', 4), node('b', 4), node('c', 4)]);
    for (const id of 'abc') await bench.inMemory(id, 'm:latest');
    bench.fleet.observe('b', { kind: 'admin', state: 'draining' });
    for (let round = 0; round < 5; round += 1) {
      const asked = bench.ask({}, ['a']);
      await settled();
      assert.equal(asked.lease?.backend, 'c');
      await asked.done();
    }
  });
});

describe('soonest: the rest of a prompt', () => {
  const turn = (hash: string, tokens: number) => ({ promptTokens: tokens, prefix: [{ hash, tokens }] });

  it('sends a conversation back to where it was, free backends or not', async () => {
    const bench = await routed([node('a', 4), node('b', 4), node('c', 4)]);
    for (const id of 'abc') await bench.inMemory(id, 'm:latest');
    const first = bench.ask(turn('one', 4000));
    await settled();
    const home = first.lease!.backend;
    await first.done(usage(4000));
    for (let round = 0; round < 10; round += 1) {
      const next = bench.ask({
        promptTokens: 5000,
        prefix: [
          { hash: 'one', tokens: 4000 },
          { hash: `${round}`, tokens: 5000 },
        ],
      });
      await settled();
      assert.equal(next.lease?.backend, home);
      assert.equal(next.lease?.reason, 'sticky');
      await next.done(usage(5000));
    }
  });

  it('waits for the backend that remembers it when that is soon free, and goes when it is', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    await teach(bench, 'a');
    await teach(bench, 'b');
    const first = bench.ask({ ...turn('one', 9000), only: ['a'] });
    await settled();
    await first.done(usage(9000));
    const busy = bench.ask({ only: ['a'], promptTokens: 10 });
    const next = bench.ask({ promptTokens: 9500, prefix: [{ hash: 'one', tokens: 9000 }] });
    await settled();
    assert.equal(where(next), null, 'b is free, but would need 9 s for the prompt');
    await bench.clock.advance(2000);
    await busy.done();
    assert.equal(where(next), 'a');
  });

  it('waits no longer than the free backend would have needed more', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    await teach(bench, 'a');
    await teach(bench, 'b');
    const first = bench.ask({ ...turn('one', 9000), only: ['a'] });
    await settled();
    await first.done(usage(9000));
    bench.ask({ only: ['a'], promptTokens: 10 });
    const next = bench.ask({ promptTokens: 9500, prefix: [{ hash: 'one', tokens: 9000 }] });
    await bench.clock.advance(8500);
    assert.equal(where(next), null);
    await bench.clock.advance(1000);
    assert.equal(where(next), 'b', 'after 9 s: the saved prompt, 9,000 tokens at 1,000 a second');
  });

  it('goes at once where the wait would cost more than it saves', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    await teach(bench, 'a');
    await teach(bench, 'b');
    const first = bench.ask({ ...turn('one', 1000), only: ['a'] });
    await settled();
    await first.done(usage(1000));
    bench.ask({ only: ['a'], promptTokens: 10 });
    const next = bench.ask({ promptTokens: 1100, prefix: [{ hash: 'one', tokens: 1000 }] });
    await settled();
    assert.equal(next.lease?.backend, 'b');
  });
});

describe('soonest: loads', () => {
  it('loads a model itself, once, and lets those who wait go when it is there', async () => {
    const bench = await routed([node('a', 2), node('b', 2)]);
    const asked = [bench.ask(), bench.ask(), bench.ask()];
    await settled();
    assert.equal(bench.intents.length, 1);
    assert.match(bench.intents[0]!, /^load [ab] m:latest$/);
    assert.ok(asked.every(({ lease }) => lease === null));
    const home = bench.intents[0]!.split(' ')[1]!;
    await bench.clock.advance(5000);
    await bench.endLoad(home, 5000);
    assert.equal(asked.filter(({ lease }) => lease?.backend === home).length, 2);
    assert.equal(asked[0]!.lease?.reason, 'cold');
    await asked[0]!.done();
    assert.equal(where(asked[2]!), home);
  });

  it('goes on loading when the client that wanted it has left; the next finds it loading', async () => {
    const bench = await routed([node('a')]);
    const first = bench.ask();
    await settled();
    first.leave();
    await settled();
    assert.match(String(first.error), /client left/);
    const next = bench.ask();
    await settled();
    await bench.endLoad('a', 9000);
    assert.equal(next.lease?.backend, 'a');
    assert.deepEqual(bench.intents, ['load a m:latest']);
  });

  it('spreads models over backends that have room for all of them', async () => {
    const specs = ['a', 'b', 'c'].map((id) => backend(id, { slots: 'auto', parallel: 1, places: 3 }));
    const bench = await routed(specs, { models: ['m:latest', 'n:latest', 'o:latest'] });
    for (const model of ['m:latest', 'n:latest', 'o:latest']) {
      bench.ask({ model });
      await settled();
      await bench.endLoad(bench.intents.at(-1)!.split(' ')[1]!, 1000);
    }
    assert.deepEqual(new Set(bench.intents.map((intent) => intent.split(' ')[1])), new Set(['a', 'b', 'c']));
  });

  it('loads with the options of the job, and through the route of its task', async () => {
    const bench = await routed([node('a')]);
    bench.ask({ runnerOptions: 'num_ctx=8192' });
    await settled();
    assert.deepEqual(bench.intents, ['load a m:latest num_ctx=8192']);
  });

  it('never holds one model with two sets of options on one backend', async () => {
    const bench = await routed([node('a', 4, { places: 3 })]);
    await bench.inMemory('a', 'm:latest');
    const asked = bench.ask({ runnerOptions: 'num_ctx=8192' });
    await bench.clock.advance(60_000);
    assert.deepEqual(bench.intents, ['unload a m:latest', 'load a m:latest num_ctx=8192']);
    await bench.endLoad('a', 1000);
    assert.equal(asked.lease?.backend, 'a');
  });

  it('takes what was in memory before it came for what it happens to be', async () => {
    const bench = await routed([node('a')]);
    await bench.inMemory('a', 'm:latest');
    for (const runnerOptions of ['', 'num_ctx=4096', '']) {
      const asked = bench.ask({ runnerOptions });
      await settled();
      assert.equal(where(asked), 'a', runnerOptions);
      const waiting = bench.ask({ runnerOptions: 'num_ctx=4096' });
      await settled();
      assert.equal(where(waiting), null, 'it is one runner with one slot');
      await asked.done();
      assert.equal(where(waiting), 'a');
      await waiting.done();
    }
    assert.deepEqual(bench.intents, []);
  });

  it('takes the idle backend of several that want other options, so that each population settles', async () => {
    const bench = await routed([node('a', 4), node('b', 4)]);
    await bench.inMemory('a', 'm:latest');
    const small = bench.ask();
    const large = bench.ask({ runnerOptions: 'num_ctx=8192' });
    await settled();
    assert.equal(small.lease?.backend, 'a');
    assert.deepEqual(bench.intents, ['load b m:latest num_ctx=8192']);
    await bench.endLoad('b', 1000);
    await Promise.all([small.done(), large.done()]);
    for (let round = 0; round < 10; round += 1) {
      const both = [bench.ask(), bench.ask({ runnerOptions: 'num_ctx=8192' })];
      await settled();
      assert.deepEqual(
        both.map(({ lease }) => lease?.backend),
        ['a', 'b'],
      );
      for (const one of both) await one.done();
    }
    assert.equal(bench.intents.length, 1);
  });

  it('evicts by its own hand what is wanted least, after the wait has cost as much', async () => {
    const bench = await routed([node('a', 1, { places: 2 })], { models: ['m:latest', 'n:latest', 'o:latest'] });
    await bench.inMemory('a', 'm:latest', 'n:latest');
    for (let round = 0; round < 30; round += 1) {
      const asked = bench.ask();
      await bench.clock.advance(1000);
      await asked.done();
    }
    bench.ask({ model: 'o:latest' });
    await bench.clock.advance(1000);
    assert.deepEqual(bench.intents, ['unload a n:latest', 'load a o:latest']);
  });

  it('does not evict what others wait for, until somebody has waited too long', async () => {
    const bench = await routed([node('a')], { models: ['m:latest', 'n:latest'] });
    await bench.inMemory('a', 'm:latest');
    const running = bench.ask();
    bench.ask();
    await settled();
    const other = bench.ask({ model: 'n:latest' });
    const phase = () => bench.planner.knowledge.backend('a').runners.get('m:latest')?.phase;
    await bench.clock.advance(44_000);
    assert.equal(phase(), 'ready');
    await bench.clock.advance(2000);
    assert.equal(phase(), 'draining');
    assert.deepEqual(bench.intents, [], 'it is drained first');
    await running.done();
    assert.deepEqual(bench.intents, ['unload a m:latest', 'load a n:latest']);
    await bench.endLoad('a', 5000);
    assert.equal(other.lease?.backend, 'a');
  });

  it('feeds a runner again when nobody waits any more for what it is drained for', async () => {
    const bench = await routed([node('a', 2)], { models: ['m:latest', 'n:latest'] });
    await bench.inMemory('a', 'm:latest');
    const [running, waiting] = [bench.ask(), bench.ask()];
    await settled();
    const other = bench.ask({ model: 'n:latest' });
    await bench.clock.advance(46_000);
    await waiting.done();
    const held = bench.ask();
    await settled();
    assert.equal(where(held), null, 'draining');
    other.leave();
    await settled();
    await running.done();
    assert.equal(where(held), 'a');
    assert.deepEqual(bench.intents, []);
  });

  it('adds a replica when waiting has cost more than a load', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    const asked = Array.from({ length: 4 }, () => bench.ask());
    await bench.clock.advance(4000);
    assert.deepEqual(bench.intents, []);
    await bench.clock.advance(2000);
    assert.deepEqual(bench.intents, ['load b m:latest']);
    await bench.endLoad('b', 3000);
    assert.equal(asked.filter(({ lease }) => lease?.backend === 'b').length, 1);
  });

  it('sends a job itself after a load has failed, so that its client gets the backend’s own words', async () => {
    const bench = await routed([node('a')]);
    const asked = bench.ask();
    await settled();
    await bench.endLoad('a', null);
    assert.equal(asked.lease?.backend, 'a');
    assert.equal(asked.lease?.reason, 'cold');
    await asked.ended({ kind: 'failed', failure: 'runner-failed', against: 'model', committed: false });
    const elsewhere = bench.ask();
    await settled();
    assert.deepEqual(bench.intents, ['load a m:latest'], 'and does not try the same again at once');
    assert.notEqual(elsewhere.lease, null);
  });

  it('puts models side by side as far as the memory goes', async () => {
    const bench = await routed([backend('a', { slots: 'auto', memory: 250 }), backend('b', { slots: 'auto' })], {
      models: ['m:latest', 'n:latest', 'o:latest'],
    });
    // Each of them takes 100 bytes, as was once seen on b.
    await bench.inMemory('b', 'm:latest', 'n:latest', 'o:latest');
    bench.fleet.observe('b', { kind: 'admin', state: 'draining' });
    await bench.inMemory('a', 'm:latest');
    bench.ask({ model: 'n:latest' });
    await settled();
    assert.deepEqual(bench.intents, ['load a n:latest']);
    await bench.endLoad('a', 1000);
    await bench.clock.advance(30_000);
    bench.ask({ model: 'o:latest' });
    await bench.clock.advance(60_000);
    assert.deepEqual(bench.intents.slice(1), ['unload a m:latest', 'load a o:latest']);
  });

  it('loads by sending, where nobody carries its intents out', async () => {
    const bench = await routed([node('a'), node('b')], { performs: false });
    await bench.inMemory('b', 'm:latest');
    const asked = [bench.ask({ only: ['a'] }), bench.ask()];
    await settled();
    assert.deepEqual(
      asked.map(({ lease }) => [lease?.backend, lease?.reason]),
      [
        ['a', 'cold'],
        ['b', 'warm'],
      ],
    );
  });

  it('does not wait for a load where it does not know what is in memory', async () => {
    const bench = await routed([node('a'), node('b')]);
    bench.fleet.set([node('a'), node('b'), node('c')]);
    bench.fleet.observe('c', { kind: 'alive', version: '0.33.0' });
    bench.fleet.observe('c', { kind: 'inventory', models: [installed('m:latest')] });
    const asked = bench.ask();
    await settled();
    assert.equal(asked.lease?.backend, 'c');
    assert.deepEqual(bench.intents, []);
  });

  it('needs no runner for cloud models and for jobs without a model', async () => {
    const bench = await routed([node('a'), node('b')], { models: ['gpt-oss:20b-cloud'] });
    const asked = [bench.ask({ model: 'gpt-oss:20b-cloud' }), bench.ask({ model: null })];
    await settled();
    assert.ok(asked.every(({ lease }) => lease !== null));
    assert.notEqual(asked[0]!.lease?.backend, asked[1]!.lease?.backend, 'where the fewest are');
    assert.deepEqual(bench.intents, []);
  });
});

describe('soonest: slots that nobody has told', () => {
  it('are learnt from the waits inside the backend', async () => {
    const bench = await routed([backend('a', { slots: 'auto' })]);
    await bench.inMemory('a', 'm:latest');
    const [first, second, third] = [bench.ask(), bench.ask(), bench.ask()];
    await settled();
    assert.ok(second.lease !== null && third.lease === null, 'one more than proven is tried');
    await bench.clock.advance(2000);
    await first.done({ totalMs: 2000, loadMs: 1, promptMs: 500, outputMs: 1499 });
    await bench.clock.advance(2000);
    // It waited for the first to end: two seconds of its time are told nowhere.
    await second.done({ totalMs: 4000, loadMs: 1, promptMs: 500, outputMs: 1499 });
    const more = [bench.ask(), bench.ask()];
    await settled();
    assert.equal([third, ...more].filter(({ lease }) => lease !== null).length, 1);
  });

  it('are expected of another model as of the first, but not as of one that embeds', async () => {
    for (const task of ['chat', 'embed'] as const) {
      const bench = await routed([backend('a', { slots: 'auto' })], { models: ['m:latest', 'n:latest'] });
      await bench.inMemory('a', 'm:latest');
      const [first, second] = [bench.ask({ task }), bench.ask({ task })];
      await bench.clock.advance(2000);
      await first.done({ totalMs: 2000, loadMs: 1, promptMs: 500, outputMs: 1499 });
      await bench.clock.advance(2000);
      await second.done({ totalMs: 4000, loadMs: 1, promptMs: 500, outputMs: 1499 });
      await bench.inMemory('a', 'm:latest', 'n:latest');
      const more = [bench.ask({ model: 'n:latest' }), bench.ask({ model: 'n:latest' })];
      await settled();
      assert.equal(more.filter(({ lease }) => lease !== null).length, task === 'chat' ? 1 : 2, task);
    }
  });

  it('are what a refusal reckons with', async () => {
    const bench = await routed([node('a', 2)], { models: ['m:latest'] });
    await bench.inMemory('a', 'm:latest');
    for (let round = 0; round < 5; round += 1) {
      const asked = bench.ask();
      await settled();
      await bench.clock.advance(10_000);
      if (asked.lease !== null) await asked.done();
    }
    assert.equal(bench.planner.slotsFor(job({ model: 'm:latest' }), 0), 2);
    assert.equal(bench.planner.slotsFor(job({ model: 'n:latest' }), 0), 1);
    bench.scheduler.setOptions({
      limit: 4,
      timeout: 600_000,
      refuseEarly: false,
      ageing: 30_000,
      waitForBackend: true,
    });
    const waiting = Array.from({ length: 8 }, () => bench.ask());
    await settled();
    const refused = waiting.find(({ error }) => error !== null)?.error as GatewayError;
    assert.ok(
      refused.retryAfterMs! >= 10_000,
      `four wait for two slots that are held for 10 s: ${refused.retryAfterMs}`,
    );
  });

  it('grow while further requests are served beside the others', async () => {
    const bench = await routed([backend('a', { slots: 'auto' })]);
    await bench.inMemory('a', 'm:latest');
    const asked = Array.from({ length: 6 }, () => bench.ask());
    await settled();
    for (let round = 0; round < 4; round += 1) {
      for (const { lease } of asked) lease?.firstByte(10);
      await settled();
      const next = bench.ask();
      await settled();
      next.leave();
      await settled();
    }
    assert.equal(asked.filter(({ lease }) => lease !== null).length, 6);
  });
});

describe('soonest: why', () => {
  it('tells of each decision what was weighed, newest first and no more than asked for', async () => {
    const bench = await routed([node('a', 4), node('b', 4)], { decisions: 3, models: ['m:latest', 'n:latest'] });
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    for (let round = 0; round < 3; round += 1) bench.ask();
    await settled();
    bench.ask({ model: 'n:latest' });
    await bench.clock.advance(120_000);
    const decisions = bench.planner.decisions();
    assert.equal(decisions.length, 3);
    const [placed, sent] = decisions;
    assert.equal(placed?.kind, 'placed');
    assert.ok(placed?.kind === 'placed' && placed.evicted.includes('m:latest') && placed.waiting === 1);
    assert.ok(sent?.kind === 'sent' && sent.reason === 'least-busy');
    assert.ok(sent.kind === 'sent' && sent.candidates.length === 2);
    for (const { waitMs, loadMs, prefillMs, totalMs } of sent.kind === 'sent' ? sent.candidates : []) {
      assert.equal(waitMs + loadMs + prefillMs, totalMs);
    }
  });

  it('tells of a job that waits by choice what it waits for, and how long at most', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    await bench.inMemory('b', 'm:latest');
    await teach(bench, 'a');
    await teach(bench, 'b');
    const first = bench.ask({ promptTokens: 9000, prefix: [{ hash: 'one', tokens: 9000 }], only: ['a'] });
    await settled();
    await first.done(usage(9000));
    bench.ask({ only: ['a'], promptTokens: 10 });
    const asked = bench.ask({ promptTokens: 9500, prefix: [{ hash: 'one', tokens: 9000 }] });
    await settled();
    const [held] = bench.planner.decisions();
    assert.ok(held?.kind === 'held' && held.backend === 'a' && held.instead === 'b');
    assert.ok(
      held.kind === 'held' && held.job === asked.job.id && Math.abs(held.forMs - 9000) < 500,
      JSON.stringify(held),
    );
  });

  it('forgets a backend that is no longer configured', async () => {
    const bench = await routed([node('a'), node('b')]);
    await bench.inMemory('a', 'm:latest');
    bench.fleet.set([node('b')]);
    bench.ask();
    await settled();
    assert.deepEqual(
      [...bench.planner.knowledge.backends].map(({ id }) => id),
      ['b'],
    );
    assert.deepEqual(bench.intents, ['load b m:latest']);
  });

  it('takes up after a restart what it had learnt', async () => {
    const before = await routed([backend('a', { slots: 'auto' })]);
    await before.inMemory('a', 'm:latest');
    await teach(before, 'a');
    const learnt = JSON.parse(JSON.stringify(before.scheduler.learnt())) as Learnt;
    const after = await routed([backend('a', { slots: 'auto' })]);
    after.scheduler.restore(learnt);
    const [old, now] = [before, after].map(({ planner }) => planner.knowledge.backend('a'));
    assert.equal(now!.prefill.value, old!.prefill.value);
    const runner = now!.runners.get('m:latest')!;
    assert.equal(runner.phase, 'absent', 'what is in memory is told again');
    assert.equal(after.planner.knowledge.expectedHoldMs(runner), 2999);
    assert.deepEqual(after.scheduler.learnt(), before.scheduler.learnt());
  });

  it('refuses nobody for a wait that is foretold from slots it does not know', async () => {
    const refusing = { limit: 1000, timeout: 20_000, refuseEarly: true, waitForBackend: true, ageing: 30_000 };
    const burst = async (spec: Partial<BackendSpec>) => {
      const bench = await routed([backend('a', { slots: 'auto', ...spec })]);
      bench.scheduler.setOptions(refusing);
      await bench.inMemory('a', 'm:latest');
      const taught = bench.ask();
      await settled();
      await bench.clock.advance(5000);
      await taught.done();
      const all = Array.from({ length: 50 }, () => bench.ask());
      await settled();
      return all.filter(({ error }) => error !== null).length;
    };
    assert.equal(await burst({}), 0, 'it may turn out to take them all');
    assert.ok((await burst({ parallel: 2 })) >= 40, 'two at a time, five seconds each');
  });

  it('hands what it has learnt to the policy that takes its place', async () => {
    const bench = await routed([backend('a', { slots: 'auto' })]);
    await bench.inMemory('a', 'm:latest');
    await teach(bench, 'a');
    const learnt = bench.scheduler.learnt();
    bench.scheduler.setPolicy(
      new Soonest({ patience: 1000, headroom: 0.0625, prompts: 50, decisions: 64 }, seededRng(1)),
    );
    assert.deepEqual(bench.scheduler.learnt(), learnt);
  });

  it('keeps what it has learnt when the configuration changes around it', async () => {
    const bench = await routed([node('a')]);
    await bench.inMemory('a', 'm:latest');
    await teach(bench, 'a');
    const before = bench.planner.knowledge.backend('a').prefill.value;
    bench.fleet.set([node('a', 3, { weight: 2 })]);
    bench.ask();
    await settled();
    assert.equal(bench.planner.knowledge.backend('a').prefill.value, before);
    assert.equal(bench.planner.knowledge.backend('a').parallel, 3);
  });
});
