import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Knowledge, placesOf, runnerKey, type RunnerState } from '../../../src/core/routing/knowledge.ts';
import type { Job } from '../../../src/core/types.ts';
import { backend, job, resident } from '../../support/build.ts';

const listing = (...names: string[]) => names.map((name) => resident(name, { sizeBytes: 5e9 }));
const phases = (knowledge: Knowledge) =>
  [...knowledge.backend('a').runners.values()].map(({ key, phase }) => `${key} ${phase}`).sort();

const cached = (knowledge: Knowledge, runner: RunnerState, one: Job) => knowledge.remembered(one).get(runner) ?? 0;

describe('knowledge', () => {
  it('takes in what a backend tells of its memory', () => {
    const knowledge = new Knowledge(10);
    assert.equal(knowledge.observe('a', null, 0), false);
    assert.equal(knowledge.backend('a').told, null);
    assert.equal(knowledge.observe('a', listing('m:latest', 'n:latest'), 0), true);
    assert.deepEqual(phases(knowledge), ['m:latest ready', 'n:latest ready']);
    assert.equal(knowledge.observe('a', listing('n:latest'), 10_000), true);
    assert.deepEqual(phases(knowledge), ['m:latest absent', 'n:latest ready']);
    assert.equal(knowledge.backend('a').runners.get('n:latest')?.sizeBytes, 5e9);
  });

  it('takes in each list once, however often it is shown it', () => {
    const knowledge = new Knowledge(10);
    const list = listing('m:latest');
    knowledge.observe('a', list, 0);
    knowledge.setPhase(knowledge.runner('a', job({ model: 'm:latest' }), 0), 'absent', 10_000);
    assert.equal(knowledge.observe('a', list, 60_000), false);
    assert.deepEqual(phases(knowledge), ['m:latest absent']);
  });

  it('believes its own loads and unloads for a moment, whatever an older list says', () => {
    const knowledge = new Knowledge(10);
    const runner = knowledge.runner('a', job({ model: 'm:latest' }), 0);
    knowledge.setPhase(runner, 'ready', 1000);
    knowledge.observe('a', listing(), 2000);
    assert.equal(runner.phase, 'ready');
    knowledge.observe('a', listing(), 5000);
    assert.equal(runner.phase, 'absent');
    knowledge.observe('a', listing('m:latest'), 6000);
    assert.equal(runner.phase, 'absent');
    knowledge.observe('a', listing('m:latest'), 9000);
    assert.equal(runner.phase, 'ready');
  });

  it('keeps a runner that is in use, and one that is being loaded, which no list shows', () => {
    const knowledge = new Knowledge(10);
    const used = knowledge.runner('a', job({ model: 'used:latest' }), 0);
    const coming = knowledge.runner('a', job({ model: 'coming:latest' }), 0);
    knowledge.setPhase(used, 'ready', 0);
    used.inFlight = 1;
    knowledge.setPhase(coming, 'loading', 0);
    knowledge.observe('a', listing(), 60_000);
    assert.deepEqual([used.phase, coming.phase], ['ready', 'loading']);
  });

  it('does not take a listed model for another runner than the one it knows there', () => {
    const knowledge = new Knowledge(10);
    const runner = knowledge.runner('a', job({ model: 'm:latest', runnerOptions: 'num_ctx=8192' }), 0);
    knowledge.setPhase(runner, 'ready', 0);
    knowledge.observe('a', listing('m:latest'), 60_000);
    assert.deepEqual(phases(knowledge), ['m:latest\tnum_ctx=8192 ready']);
  });

  it('learns how many models a backend holds from one that went when another came', () => {
    const knowledge = new Knowledge(10);
    const row = knowledge.backend('a');
    knowledge.observe('a', listing('m:latest', 'n:latest'), 0);
    assert.equal(placesOf(row), Infinity);
    knowledge.setPhase(knowledge.runner('a', job({ model: 'o:latest' }), 0), 'ready', 100_000);
    knowledge.observe('a', listing('n:latest', 'o:latest'), 105_000);
    assert.equal(placesOf(row), 2);
    knowledge.observe('a', listing('n:latest', 'o:latest', 'p:latest'), 110_000);
    assert.equal(placesOf(row), 3, 'and that it holds more when it is seen to');
    assert.equal(row.held.size, 3);
  });

  it('learns nothing of places from a model that went alone', () => {
    const knowledge = new Knowledge(10);
    knowledge.observe('a', listing('m:latest', 'n:latest'), 0);
    knowledge.observe('a', listing('n:latest'), 300_000);
    assert.equal(placesOf(knowledge.backend('a')), Infinity);
  });

  it('prefers what the operator says', () => {
    const knowledge = new Knowledge(10);
    knowledge.configure(backend('a', { parallel: 3, places: 2, tier: 2, memory: 8e9 }));
    const row = knowledge.backend('a');
    assert.deepEqual([row.parallel, placesOf(row), row.tier, row.memoryBytes], [3, 2, 2, 8e9]);
    assert.equal(knowledge.limit(knowledge.runner('a', job(), 0), 0), 3);
    knowledge.configure(backend('a'));
    assert.equal(knowledge.limit(knowledge.runner('a', job(), 0), 0), 2, 'and learns when he says nothing');
  });

  it('expects of a new runner what others took, and of a known one what it took', () => {
    const knowledge = new Knowledge(10);
    const [one, other] = [knowledge.runner('a', job({ model: 'm:latest' }), 0), knowledge.runner('b', job(), 0)];
    knowledge.loaded(one, 8000);
    knowledge.slotHeld(one, 3000);
    assert.deepEqual([knowledge.expectedLoadMs('tiny:latest', other), knowledge.expectedHoldMs(other)], [8000, 3000]);
    knowledge.loaded(other, 2000);
    assert.equal(knowledge.expectedLoadMs('tiny:latest', other), 2000);
    assert.equal(knowledge.expectedLoadMs('m:latest', one), 8000);
    assert.equal(knowledge.expectedLoadMs('m:latest'), 8000, 'anywhere');
  });

  it('learns how fast prompts are processed, made up for the crowd', () => {
    const knowledge = new Knowledge(10);
    const row = knowledge.backend('a');
    for (const active of [1, 2, 4]) {
      knowledge.processed(row, { promptTokens: 1000, promptMs: 520 * active ** 0.45 }, active);
    }
    assert.ok(Math.abs(row.prefill.value! - 2000) < 150, String(row.prefill.value));
    assert.ok(knowledge.expectedPrefillMs(row, 2000, 3) > 1.8 * knowledge.expectedPrefillMs(row, 2000, 0));
    knowledge.processed(row, { promptTokens: 10, promptMs: 5000 }, 1);
    knowledge.processed(row, {}, 1);
    assert.ok(row.prefill.value! > 1800, 'a short or silent answer tells nothing');
  });

  it('remembers prompts until the runner goes', () => {
    const knowledge = new Knowledge(10);
    const runner = knowledge.runner('a', job(), 0);
    knowledge.setPhase(runner, 'ready', 0);
    const first = job({ promptTokens: 100, prefix: [{ hash: 'one', tokens: 100 }] });
    const second = job({ promptTokens: 300, prefix: [...first.prefix, { hash: 'two', tokens: 300 }] });
    knowledge.remember(runner, first);
    assert.equal(cached(knowledge, runner, second), 100);
    knowledge.setPhase(runner, 'absent', 1);
    assert.equal(cached(knowledge, runner, second), 0);
  });

  it('takes a session key for the whole last prompt, where there are no boundaries', () => {
    const knowledge = new Knowledge(10);
    const runner = knowledge.runner('a', job(), 0);
    knowledge.remember(runner, job({ session: 's', promptTokens: 500 }));
    assert.equal(cached(knowledge, runner, job({ session: 's', promptTokens: 800 })), 500);

    assert.equal(cached(knowledge, runner, job({ session: 't', promptTokens: 800 })), 0);
  });

  it('keeps runners apart by model and options', () => {
    assert.equal(runnerKey('m:latest', ''), 'm:latest');
    assert.notEqual(runnerKey('m:latest', 'num_ctx=1'), runnerKey('m:latest', 'num_ctx=2'));
  });

  it('does not grow with the names that are asked for', () => {
    const knowledge = new Knowledge(10);
    const kept = knowledge.runner('a', job({ model: 'kept:latest' }), 0);
    knowledge.setPhase(kept, 'ready', 0);
    for (let name = 0; name < 5000; name += 1) knowledge.runner('a', job({ model: `m${name}:latest` }), 0);
    const { runners } = knowledge.backend('a');
    assert.ok(runners.size <= 1000);
    assert.equal(runners.get('kept:latest'), kept);
  });

  it('finds the runners of a job wherever they are in memory or coming, and forgets those that went', () => {
    const knowledge = new Knowledge(10);
    const [a, b] = ['a', 'b'].map((id) => knowledge.runner(id, job(), 0));
    const found = () => [...knowledge.held('tiny:latest')].map(({ backend: { id } }) => id);
    assert.deepEqual(found(), []);
    knowledge.setPhase(a!, 'loading', 0);
    knowledge.setPhase(b!, 'ready', 0);
    assert.deepEqual(found(), ['a', 'b']);
    assert.deepEqual([knowledge.backend('a').held.size, knowledge.size], [1, 2]);
    knowledge.setPhase(a!, 'draining', 1);
    knowledge.setPhase(b!, 'absent', 1);
    assert.deepEqual(found(), ['a']);
    knowledge.setPhase(a!, 'absent', 2);
    assert.deepEqual([found(), knowledge.backend('a').held.size], [[], 0]);
  });

  it('counts a phase from when it began, and a revision for each', () => {
    const knowledge = new Knowledge(10);
    const runner = knowledge.runner('a', job(), 0);
    knowledge.setPhase(runner, 'ready', 10);
    knowledge.setPhase(runner, 'ready', 20);
    assert.deepEqual([runner.since, runner.wentAt, runner.backend.revision], [10, null, 1]);
    knowledge.setPhase(runner, 'absent', 30);
    assert.deepEqual([runner.since, runner.wentAt, runner.backend.revision], [30, 30, 2]);
  });

  it('takes a runner without options for that of a job that asks for just the context it has', () => {
    const knowledge = new Knowledge(10);
    knowledge.observe('a', [resident('tiny:latest', { contextLength: 8192 })], 0);
    const there = knowledge.backend('a').runners.get('tiny:latest')!;
    const serving = (runnerOptions: string) => [...knowledge.serving(job({ runnerOptions }))];
    assert.deepEqual(serving(''), [there]);
    assert.deepEqual(serving('num_ctx=8192'), [there]);
    assert.deepEqual(serving('num_ctx=4096'), []);
    assert.deepEqual(serving('num_ctx=8192,num_gpu=1'), []);
    assert.equal(knowledge.servingOn('a', job({ runnerOptions: 'num_ctx=8192' }), 0), there);
    const own = knowledge.servingOn('b', job({ runnerOptions: 'num_ctx=8192' }), 0);
    assert.deepEqual([own.backend.id, own.options, own.phase], ['b', 'num_ctx=8192', 'absent']);
    knowledge.setPhase(there, 'absent', 10);
    assert.equal(there.contextLength, null, 'the next may be loaded with another');
  });

  it('forgets a backend with all it held', () => {
    const knowledge = new Knowledge(10);
    const one = job({ prefix: [{ hash: 'one', tokens: 50 }] });
    const runner = knowledge.runner('a', one, 0);
    knowledge.setPhase(runner, 'ready', 0);
    knowledge.remember(runner, one);
    knowledge.backend('b');
    assert.deepEqual(
      [...knowledge.untold].map(({ id }) => id),
      ['a', 'b'],
    );
    knowledge.forget('a');
    knowledge.forget('never known');
    assert.deepEqual([...knowledge.held('tiny:latest')], []);
    assert.equal(knowledge.remembered(one).size, 0);
    assert.deepEqual(
      [...knowledge.backends].map(({ id }) => id),
      ['b'],
    );
    assert.deepEqual(
      [...knowledge.untold].map(({ id }) => id),
      ['b'],
    );
    knowledge.observe('b', [], 0);
    assert.deepEqual([...knowledge.untold], []);
  });

  it('takes over into the next process what it has learnt, and nothing that it has not', () => {
    const before = new Knowledge(10);
    const known = before.runner('a', job({ model: 'known:latest', runnerOptions: 'num_ctx=10' }), 0);
    before.loaded(known, 7000);
    before.slotHeld(known, 900);
    before.processed(known.backend, { promptTokens: 1000, promptMs: 520 }, 1);
    known.slots.served(3);
    const loadedOnly = before.runner('a', job({ model: 'loaded:latest' }), 5);
    before.loaded(loadedOnly, 100);
    before.runner('a', job({ model: 'unknown:latest' }), 9);
    const saved = before.learnt();
    const row = { options: '', holdMs: null, slots: 1, slotsAtMost: null };
    assert.deepEqual(saved, {
      version: 1,
      backends: [
        {
          id: 'a',
          prefillPerSecond: 2000,
          runners: [
            { ...row, model: 'loaded:latest', loadMs: 100 },
            { model: 'known:latest', options: 'num_ctx=10', holdMs: 900, loadMs: 7000, slots: 3, slotsAtMost: null },
          ],
        },
      ],
    });
    const after = new Knowledge(10);
    after.restore(saved, 0);
    assert.deepEqual(after.learnt().backends[0]!.prefillPerSecond, 2000);
    const again = after.runner('a', job({ model: 'known:latest', runnerOptions: 'num_ctx=10' }), 0);
    assert.deepEqual(
      [after.expectedLoadMs('known:latest', again), after.expectedHoldMs(again), again.slots.proven, again.phase],
      [7000, 900, 3, 'absent'],
    );
    assert.equal(after.expectedPrefillMs(after.backend('b'), 2000, 0), 1020, 'a new backend is expected to be as fast');
  });

  it('saves so many runners at most, the last used of each backend', () => {
    const knowledge = new Knowledge(10);
    for (let id = 0; id < 20; id += 1) {
      for (let name = 0; name < 600; name += 1) {
        knowledge.slotHeld(knowledge.runner(`b${id}`, job({ model: `m${name}:latest` }), name), 1);
      }
    }
    const { backends } = knowledge.learnt();
    assert.deepEqual([backends.length, backends[7]!.runners.length], [20, 500]);
    assert.equal(backends[7]!.runners[0]!.model, 'm599:latest');
  });

  it('assumes something of everything before anything is learnt', () => {
    const knowledge = new Knowledge(10);
    assert.equal(knowledge.expectedLoadMs('tiny:latest'), 15_000);
    assert.equal(knowledge.expectedHoldMs(undefined), 5000);
    assert.equal(knowledge.expectedPrefillMs(knowledge.backend('a'), 1000, 0), 1020);
  });

  it('learns of an embedding model nothing that others should be expected to do', () => {
    const knowledge = new Knowledge(10);
    const [embeds, chats] = ['embed:latest', 'chat:latest'].map((model) => knowledge.runner('a', job({ model }), 0));
    embeds!.embeds = true;
    embeds!.slots.served(9);
    embeds!.slots.waited(10, 5000, 0);
    assert.equal(knowledge.runner('a', job({ model: 'first:latest' }), 0).slots.proven, 1);
    chats!.slots.served(4);
    assert.equal(knowledge.runner('a', job({ model: 'second:latest' }), 0).slots.proven, 1, 'it may have more');
    chats!.slots.waited(5, 5000, 0);
    assert.equal(knowledge.runner('a', job({ model: 'third:latest' }), 0).slots.proven, 4);
    assert.equal(knowledge.runner('b', job({ model: 'third:latest' }), 0).slots.proven, 1, 'elsewhere nobody knows');
  });

  it('learns nothing of places from a load that ended long before, or before the other was last used', () => {
    for (const [goesAt, usedAt] of [
      [135_000, 0],
      [105_000, 101_000],
    ] as const) {
      const knowledge = new Knowledge(10);
      knowledge.observe('a', listing('m:latest'), 0);
      knowledge.backend('a').runners.get('m:latest')!.lastUsed = usedAt;
      knowledge.setPhase(knowledge.runner('a', job({ model: 'o:latest' }), 0), 'ready', 100_000);
      knowledge.observe('a', listing('o:latest'), goesAt);
      assert.equal(placesOf(knowledge.backend('a')), Infinity);
    }
  });
});
