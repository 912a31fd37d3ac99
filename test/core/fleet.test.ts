import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Observation } from '../../src/core/observation.ts';
import type { Fleet, Hold } from '../../src/core/fleet.ts';
import type { Job, Outcome } from '../../src/core/types.ts';
import { backend, fleetOf, healthDefaults, installed, job, resident } from '../support/build.ts';

const done: Outcome = { kind: 'done', usage: {}, firstByteMs: null };
const reset: Outcome = { kind: 'failed', failure: 'backend-reset', against: 'backend', committed: false };
const slow: Outcome = { ...reset, failure: 'backend-first-byte-timeout' };
const runnerDied: Outcome = { kind: 'failed', failure: 'runner-failed', against: 'model', committed: false };
const refused: Outcome = { kind: 'failed', failure: 'backend-refused', against: 'backend', committed: false };
const neutral: Outcome = { kind: 'neutral', reason: 'client-mistake' };

/** Ids of who may serve the job, or the reason why nobody may. */
function may(fleet: Fleet, asked: Job = job(), tried: readonly string[] = []): readonly string[] | string {
  const eligibility = fleet.eligible(asked, tried);
  return eligibility.kind === 'none' ? eligibility.reason : eligibility.candidates.map(({ id }) => id);
}

function stateOf(fleet: Fleet, id: string): string {
  return fleet.view().find((view) => view.id === id)?.state ?? 'absent';
}

function fail(fleet: Fleet, id: string, times: number, outcome = reset): void {
  for (let time = 0; time < times; time += 1) fleet.give(fleet.take(id, job()), outcome);
}

describe('fleet: who may serve', () => {
  it('nobody before the first good probe, then everybody', () => {
    const { fleet } = fleetOf([backend('a')]);
    fleet.set([backend('a'), backend('b')]);
    assert.deepEqual(may(fleet), ['a']);
    fleet.observe('b', { kind: 'alive', version: '0.33.0' });
    assert.deepEqual(may(fleet), ['a', 'b']);
  });

  it('only those that have the model, or whose inventory is not known yet', () => {
    const { fleet } = fleetOf([backend('a'), backend('b'), backend('c')], { models: null });
    fleet.observe('a', { kind: 'inventory', models: [installed('tiny:latest')] });
    fleet.observe('b', { kind: 'inventory', models: [installed('other:latest')] });
    assert.deepEqual(may(fleet), ['a', 'c']);
    assert.deepEqual(may(fleet, job({ model: null })), ['a', 'b', 'c']);
  });

  it('says unknown-model only when every inventory is known and none has it', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    assert.equal(may(fleet, job({ model: 'nope:latest' })), 'unknown-model');
    fleet.set([backend('a'), backend('b'), backend('c')]);
    assert.equal(may(fleet, job({ model: 'nope:latest' })), 'no-backend');
    fleet.observe('c', { kind: 'inventory', models: [] });
    assert.equal(may(fleet, job({ model: 'nope:latest' })), 'unknown-model');
    assert.equal(may(fleetOf([]).fleet), 'no-backend');
  });

  it('keeps to the models a backend is restricted to', () => {
    const { fleet } = fleetOf([backend('a', { models: ['tiny'] }), backend('b', { models: ['llama3*'] })], {
      models: ['tiny:latest', 'llama3.2:3b'],
    });
    assert.deepEqual(may(fleet), ['a']);
    assert.deepEqual(may(fleet, job({ model: 'llama3.2:3b' })), ['b']);
    fleet.set([backend('a', { models: ['qwen*'] }), backend('b', { models: ['llama3*'] })]);
    assert.equal(may(fleet), 'unknown-model');
  });

  it('keeps to the backends a job is restricted to, and leaves out those it has tried', () => {
    const { fleet } = fleetOf([backend('a'), backend('b'), backend('c')]);
    assert.deepEqual(may(fleet, job({ only: ['c'] })), ['c']);
    assert.deepEqual(may(fleet, job(), ['a', 'c']), ['b']);
    assert.equal(may(fleet, job(), ['a', 'b', 'c']), 'tried');
  });

  it('says full when those that could are at their slots, and no-backend when they are down', () => {
    const { fleet } = fleetOf([backend('a', { slots: 1 }), backend('b')]);
    fleet.observe('b', { kind: 'admin', state: 'draining' });
    const hold = fleet.take('a', job());
    assert.equal(may(fleet), 'full');
    fleet.give(hold, done);
    assert.deepEqual(may(fleet), ['a']);
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    assert.equal(may(fleet), 'no-backend');
  });

  it('says full also when the only one that could is ejected and at its slots', () => {
    const { fleet } = fleetOf([backend('a', { slots: 1 })]);
    fail(fleet, 'a', 3);
    assert.deepEqual(may(fleet), ['a']);
    fleet.take('a', job());
    assert.equal(may(fleet), 'full');
  });

  it('tells what policies need: slots, leases, weight, and whether the model is in memory', () => {
    const { fleet } = fleetOf([backend('a', { slots: 7, weight: 3 })]);
    fleet.observe('a', { kind: 'resident', models: [resident('tiny:latest')] });
    fleet.take('a', job());
    assert.deepEqual(fleet.eligible(job(), []), {
      kind: 'candidates',
      candidates: [{ id: 'a', slots: 7, weight: 3, inFlight: 1, warm: true }],
    });
    assert.equal(fleet.take('a', job({ model: 'other:latest' })).warm, false);
  });

  it('sends nothing for a moment to a backend whose own queue is full', async () => {
    const { fleet, clock } = fleetOf([backend('a')]);
    let told = 0;
    fleet.subscribe(() => (told += 1));
    fleet.give(fleet.take('a', job()), { kind: 'busy' });
    assert.equal(may(fleet), 'full');
    assert.equal(stateOf(fleet, 'a'), 'up');
    await clock.advance(1000);
    assert.deepEqual(may(fleet), ['a']);
    assert.equal(told, 1);
  });
});

describe('fleet: what failures do', () => {
  it('ejects after three in a row, puts on probation, and one success brings it back', async () => {
    const { fleet, clock, events } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
    assert.deepEqual(may(fleet), ['b']);
    await clock.advance(6250);
    assert.equal(stateOf(fleet, 'a'), 'probation');
    const trial = fleet.take('a', job());
    assert.deepEqual(may(fleet), ['b'], 'one trial at a time');
    fleet.give(trial, done);
    assert.equal(stateOf(fleet, 'a'), 'up');
    assert.deepEqual(may(fleet), ['a', 'b']);
    const moves = events.filter((event) => event.kind === 'backend-state').map((event) => event.to);
    assert.deepEqual(moves, ['ejected', 'probation', 'up']);
  });

  it('decides a trial at the first byte', async () => {
    const { fleet, clock } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3);
    await clock.advance(6250);
    const trial = fleet.take('a', job());
    let told = 0;
    fleet.subscribe(() => (told += 1));
    fleet.answered(trial);
    assert.equal(told, 1);
    fleet.answered(trial);
    assert.equal(told, 1);
    assert.equal(stateOf(fleet, 'a'), 'up');
    assert.deepEqual(may(fleet), ['a', 'b']);
    fleet.give(trial, done);
    assert.equal(stateOf(fleet, 'a'), 'up');
  });

  it('does not take a first byte for a success: three answers lost in a row are three failures', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    for (let time = 0; time < 3; time += 1) {
      const hold = fleet.take('a', job());
      fleet.answered(hold);
      fleet.give(hold, { kind: 'failed', failure: 'backend-lost', against: 'backend', committed: true });
    }
    assert.equal(stateOf(fleet, 'a'), 'ejected');
  });

  it('lets another trial begin when one brought no news, or does not end', async () => {
    const { fleet, clock } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3);
    await clock.advance(6250);
    fleet.give(fleet.take('a', job()), { kind: 'client-gone', phase: 'waiting', usage: {} });
    assert.deepEqual(may(fleet), ['a', 'b'], 'a client that leaves says nothing');
    fleet.take('a', job());
    let told = 0;
    fleet.subscribe(() => (told += 1));
    await clock.advance(29_999);
    assert.deepEqual(may(fleet), ['b']);
    await clock.advance(1);
    assert.deepEqual(may(fleet), ['a', 'b'], 'the permit has expired');
    assert.equal(told, 1, 'and whoever waits is told');
  });

  it('does not let a green probe undo an ejection', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3);
    for (let probe = 0; probe < 5; probe += 1) fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(stateOf(fleet, 'a'), 'ejected');
    for (let probe = 0; probe < 3; probe += 1) fleet.observe('a', { kind: 'probe-failed', reason: 'x' });
    for (let probe = 0; probe < 2; probe += 1) fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(stateOf(fleet, 'a'), 'ejected');
  });

  it('never takes the last backend that can serve a model', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')], { models: ['tiny:latest'] });
    fleet.observe('a', { kind: 'inventory', models: [installed('tiny:latest'), installed('only-a:latest')] });
    fail(fleet, 'a', 3);
    assert.deepEqual(may(fleet), ['b']);
    assert.deepEqual(may(fleet, job({ model: 'only-a:latest' })), ['a']);
    fail(fleet, 'b', 3);
    assert.deepEqual(may(fleet), ['a', 'b']);
  });

  it('restores trust in an ejected backend that had to serve and did', () => {
    const { fleet } = fleetOf([backend('a')]);
    fail(fleet, 'a', 3);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
    fleet.give(fleet.take('a', job()), done);
    assert.equal(stateOf(fleet, 'a'), 'up');
  });

  it('does not count against a backend what began before its ejection', () => {
    const { fleet } = fleetOf([backend('a', { slots: 10 }), backend('b')]);
    const begun = Array.from({ length: 6 }, () => fleet.take('a', job()));
    for (const hold of begun.slice(0, 3)) assert.equal(fleet.give(hold, slow), true);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
    for (const hold of begun.slice(3, 5)) assert.equal(fleet.give(hold, slow), false);
    assert.equal(fleet.give(begun[5]!, done), true);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
  });

  it('counts the death of a backend once, however many requests it takes', async () => {
    const { fleet, clock } = fleetOf([backend('a', { slots: 10 }), backend('b')]);
    for (let death = 1; death <= 3; death += 1) {
      const running = Array.from({ length: 6 }, () => fleet.take('a', job()));
      await clock.advance(100);
      const news: boolean[] = running.map((hold) => fleet.give(hold, reset));
      assert.deepEqual(news, [true, false, false, false, false, false]);
      assert.equal(stateOf(fleet, 'a'), death < 3 ? 'up' : 'ejected');
      await clock.advance(100);
    }
  });

  it('remembers the troubles of 256 models on a backend, and forgets the oldest first', () => {
    const models = Array.from({ length: 257 }, (_, index) => `m${index}:latest`);
    const { fleet } = fleetOf([backend('a')], { models });
    const troubled = () => fleet.view()[0]!.troubled.map(({ model }) => model);
    for (const model of models) {
      for (let time = 0; time < 3; time += 1) fleet.give(fleet.take('a', job({ model })), runnerDied);
      if (model === 'm255:latest') assert.deepEqual(troubled(), models.slice(0, 256));
    }
    assert.deepEqual(troubled(), models.slice(1));
  });

  it('ejects a model from a backend without touching its other models', async () => {
    const { fleet, clock } = fleetOf([backend('a'), backend('b')], { models: ['tiny:latest', 'other:latest'] });
    fail(fleet, 'a', 3, runnerDied);
    assert.equal(stateOf(fleet, 'a'), 'up');
    assert.deepEqual(may(fleet), ['b']);
    assert.deepEqual(may(fleet, job({ model: 'other:latest' })), ['a', 'b']);
    assert.deepEqual(fleet.view()[0]?.troubled, [{ model: 'tiny:latest', reason: 'runner-failed' }]);
    await clock.advance(6250);
    const trial = fleet.take('a', job());
    assert.deepEqual(may(fleet), ['b']);
    assert.deepEqual(may(fleet, job({ model: 'other:latest' })), ['a', 'b']);
    fleet.give(trial, done);
    assert.deepEqual(may(fleet), ['a', 'b']);
    assert.deepEqual(fleet.view()[0]?.troubled, []);
  });

  it('tells of the ejection of a model, of its trial, and that it is trusted again', async () => {
    const { fleet, clock, events } = fleetOf([backend('a'), backend('b')]);
    for (let count = 0; count < 3; count += 1) {
      fleet.give(fleet.take('a', job()), runnerDied);
    }
    await clock.advance(10_000);
    fleet.give(fleet.take('a', job()), done);
    const told = events.flatMap((event) => (event.kind === 'model-standing' ? [event] : []));
    assert.deepEqual(
      told.map(({ backend: id, from, model, reason, to }) => [id, model, from, to, reason].join(' ').trim()),
      [
        'a tiny:latest trusted ejected runner-failed',
        'a tiny:latest ejected probation',
        'a tiny:latest probation trusted',
      ],
    );
  });

  it('does not use a backend that is out of use for the sake of a model that is ejected there', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3, runnerDied);
    fail(fleet, 'b', 3, runnerDied);
    assert.deepEqual(may(fleet), ['a', 'b']);
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    assert.deepEqual(may(fleet), ['b']);
  });

  it('lets another trial of a model begin when the first does not end', async () => {
    const { fleet, clock } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 3, runnerDied);
    await clock.advance(6250);
    fleet.take('a', job());
    await clock.advance(29_999);
    assert.deepEqual(may(fleet), ['b']);
    await clock.advance(1);
    assert.deepEqual(may(fleet), ['a', 'b']);
  });

  it('takes a backend down at the first refused connection, until two probes succeed', () => {
    const { fleet } = fleetOf([backend('a')]);
    fail(fleet, 'a', 1, refused);
    assert.equal(stateOf(fleet, 'a'), 'down');
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(stateOf(fleet, 'a'), 'down');
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(stateOf(fleet, 'a'), 'up');
    const { fleet: lenient } = fleetOf([backend('a')], { health: { refusedIsDown: false } });
    fail(lenient, 'a', 1, refused);
    assert.equal(stateOf(lenient, 'a'), 'up');
  });

  it('is told by the breaker, and by nothing else about the breaker', () => {
    const { fleet, events } = fleetOf([backend('a'), backend('b')]);
    fleet.observe('a', { kind: 'breaker', state: 'open', reason: 'half failed' });
    assert.deepEqual(may(fleet), ['b']);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
    fleet.observe('a', { kind: 'breaker', state: 'half-open', reason: 'waiting' });
    assert.deepEqual(may(fleet), ['b']);
    fleet.observe('b', { kind: 'admin', state: 'draining' });
    assert.equal(may(fleet), 'no-backend', 'an open breaker is not an ejection that the last backend is spared');
    fleet.observe('a', { kind: 'breaker', state: 'closed', reason: 'a probe succeeded' });
    assert.deepEqual(may(fleet), ['a']);
    const moves = events.filter((event) => event.kind === 'breaker-state').map(({ from, to }) => `${from} ${to}`);
    assert.deepEqual(moves, ['closed open', 'open half-open', 'half-open closed']);
  });

  it('starts slowly after an outage', async () => {
    const { fleet, clock } = fleetOf([backend('a', { weight: 2 })]);
    const weight = (): number => {
      const eligibility = fleet.eligible(job(), []);
      return eligibility.kind === 'candidates' ? eligibility.candidates[0].weight : 0;
    };
    assert.equal(weight(), 2);
    for (let probe = 0; probe < 3; probe += 1) fleet.observe('a', { kind: 'probe-failed', reason: 'x' });
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    await clock.advance(2000);
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    assert.equal(weight(), 0.2);
    await clock.advance(30_000);
    assert.equal(weight(), 2);
  });

  it('goes by new options from the next evidence on', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    fail(fleet, 'a', 1);
    fleet.setOptions({ ...healthDefaults, ejectAfter: 2 });
    assert.equal(stateOf(fleet, 'a'), 'up');
    fail(fleet, 'a', 1);
    assert.equal(stateOf(fleet, 'a'), 'ejected');
  });
});

describe('fleet: what it tells', () => {
  it('shows of a backend what was last told of it', () => {
    const { fleet } = fleetOf([backend('a')]);
    const models = [resident('tiny:latest')];
    fleet.observe('a', { kind: 'alive', version: '0.34.1' });
    fleet.observe('a', { kind: 'resident', models });
    fleet.give(fleet.take('a', job()), reset);
    fleet.observe('a', { kind: 'breaker', state: 'open', reason: 'half of them failed' });
    const [view] = fleet.view();
    assert.equal(view?.version, '0.34.1');
    assert.equal(view.resident, models);
    assert.equal(view.lastError, 'backend-reset');
    assert.equal(view.breaker, 'open');
    assert.equal(view.reason, 'breaker open: half of them failed');
    fleet.observe('a', { kind: 'probe-failed', reason: 'timed out' });
    assert.equal(fleet.view()[0]?.lastError, 'timed out');
  });

  it('counts up what a list may be remembered by, when it may have changed and not otherwise', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    /** Which of the three counts a step raises. */
    const raises = (step: () => void): string => {
      const before = { ...fleet.revision };
      step();
      const after = fleet.revision;
      const counts = ['inventory', 'residents', 'use'] as const;
      for (const count of counts) assert.ok(after[count] >= before[count]);
      return counts.filter((count) => after[count] > before[count]).join(' ');
    };
    const observes = (observation: Observation): string => raises(() => fleet.observe('a', observation));
    assert.equal(observes({ kind: 'alive', version: '0.33.0' }), '');
    assert.equal(observes({ kind: 'alive', version: '0.34.0' }), 'inventory');
    assert.equal(observes({ kind: 'inventory', models: [installed('tiny:latest')] }), '');
    assert.equal(observes({ kind: 'inventory', models: [installed('tiny:latest', { digest: 'e' })] }), 'inventory');
    assert.equal(observes({ kind: 'inventory', models: [installed('other:latest', { digest: 'e' })] }), 'inventory');
    assert.equal(observes({ kind: 'inventory', models: [] }), 'inventory');
    assert.equal(observes({ kind: 'resident', models: [resident('tiny:latest')] }), 'residents');
    assert.equal(observes({ kind: 'admin', state: 'draining' }), 'inventory residents use');
    assert.equal(
      raises(() => fleet.give(fleet.take('b', job()), done)),
      '',
    );
    assert.equal(
      raises(() => fleet.give(fleet.take('b', job()), neutral)),
      '',
    );
    assert.equal(
      raises(() => fleet.set([backend('b')])),
      'inventory residents use',
    );
  });

  it('counts the slots that could serve a job', () => {
    const { fleet } = fleetOf([backend('a', { slots: 3 }), backend('b', { slots: 5 }), backend('c', { slots: 7 })]);
    fleet.observe('b', { kind: 'inventory', models: [] });
    assert.equal(fleet.capacityFor(job()), 10);
    fleet.take('a', job());
    assert.equal(fleet.capacityFor(job()), 10);
    fleet.observe('c', { kind: 'admin', state: 'draining' });
    assert.equal(fleet.capacityFor(job()), 3);
    assert.equal(fleet.capacityFor(job({ model: 'nope:latest' })), 0);
  });

  it('counts leases by model', () => {
    const { fleet } = fleetOf([backend('a')]);
    const holds = ['x:latest', 'x:latest', 'y:latest', null].map((model) => fleet.take('a', job({ model })));
    const counts = (): unknown => [...(fleet.view()[0]?.inFlightByModel ?? [])];
    assert.deepEqual(counts(), [
      ['x:latest', 2],
      ['y:latest', 1],
    ]);
    fleet.give(holds[0]!, done);
    assert.deepEqual(counts(), [
      ['x:latest', 1],
      ['y:latest', 1],
    ]);
    for (const hold of holds.slice(1)) fleet.give(hold, done);
    assert.deepEqual(counts(), []);
  });

  it('lets whoever keeps count himself say how many slots `auto` is, now and for backends to come', () => {
    const { fleet } = fleetOf([backend('a', { slots: 'auto' }), backend('b', { slots: 2 })]);
    const slots = (): unknown => fleet.view().map((view) => view.slots);
    assert.deepEqual(slots(), [4, 2]);
    fleet.setAutoSlots(Infinity);
    fleet.set([backend('a', { slots: 'auto' }), backend('b', { slots: 2 }), backend('c', { slots: 'auto' })]);
    assert.deepEqual(slots(), [Infinity, 2, Infinity]);
    fleet.setAutoSlots(4);
    assert.deepEqual(slots(), [4, 2, 4]);
  });
});

describe('fleet: reload and drain', () => {
  it('keeps what it has learnt of a backend, and forgets it when the URL changes', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    const hold = fleet.take('a', job());
    fleet.set([backend('b'), backend('a', { weight: 5, slots: 2 })]);
    assert.equal(fleet.view()[1]?.spec.weight, 5);
    assert.deepEqual(
      fleet.view().map(({ id, state, slots, inFlight }) => [id, state, slots, inFlight]),
      [
        ['b', 'up', 4, 0],
        ['a', 'up', 2, 1],
      ],
    );
    fleet.set([backend('b'), backend('a', { url: 'http://elsewhere.example:11434' })]);
    assert.deepEqual(
      fleet.view().map(({ id, state, inFlight, installed }) => [id, state, inFlight, installed === null]),
      [
        ['b', 'up', 0, false],
        ['a', 'unknown', 0, true],
        ['a', 'draining', 1, false],
      ],
    );
    fleet.give(hold, done);
    assert.equal(fleet.view().length, 2);
  });

  it('gives a removed backend nothing new and lets it finish', () => {
    const { fleet, events, clock } = fleetOf([backend('a'), backend('b')]);
    const hold = fleet.take('a', job());
    fleet.set([backend('b')]);
    assert.deepEqual(may(fleet), ['b']);
    assert.equal(stateOf(fleet, 'a'), 'draining');
    fleet.observe('a', { kind: 'alive', version: '9.9.9' });
    fleet.give(hold, reset);
    assert.equal(stateOf(fleet, 'a'), 'absent');
    assert.ok(
      events.some((event) => event.kind === 'backend-state' && event.backend === 'a' && event.to === 'draining'),
    );
    assert.equal(clock.pendingTimers, 0);
  });

  it('takes a backend back that returns before its leases have ended', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    const hold = fleet.take('a', job());
    fleet.set([backend('b')]);
    fleet.set([backend('b'), backend('a')]);
    assert.deepEqual(may(fleet), ['b', 'a']);
    fleet.give(hold, done);
    assert.deepEqual(
      fleet.view().map(({ id, inFlight }) => [id, inFlight]),
      [
        ['b', 0],
        ['a', 0],
      ],
    );
  });

  it('remembers that the operator drained a backend, over a reload', () => {
    const { fleet } = fleetOf([backend('a'), backend('b')]);
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    fleet.set([backend('a', { weight: 3 }), backend('b')]);
    assert.deepEqual(may(fleet), ['b']);
    fleet.observe('a', { kind: 'admin', state: 'active' });
    assert.deepEqual(may(fleet), ['a', 'b']);
  });

  it('tells what is loaded and unloaded, once', () => {
    const { fleet, events } = fleetOf([backend('a')]);
    fleet.observe('a', { kind: 'resident', models: [resident('tiny:latest')] });
    fleet.observe('a', { kind: 'resident', models: [resident('tiny:latest'), resident('other:latest')] });
    fleet.observe('a', { kind: 'resident', models: [resident('other:latest')] });
    const told = events.flatMap((event) =>
      event.kind === 'model-loaded' || event.kind === 'model-unloaded' ? [`${event.kind} ${event.model}`] : [],
    );
    assert.deepEqual(told, ['model-loaded tiny:latest', 'model-loaded other:latest', 'model-unloaded tiny:latest']);
  });

  it('ignores observations of backends it does not know', () => {
    const { fleet } = fleetOf([backend('a')]);
    fleet.observe('ghost', { kind: 'alive', version: '1.0.0' });
    assert.equal(fleet.view().length, 1);
  });

  it('refuses two backends of one name, and a slot given back twice', () => {
    const { fleet } = fleetOf([backend('a')]);
    assert.throws(() => fleet.set([backend('a'), backend('a')]), /unique/);
    const hold = fleet.take('a', job());
    fleet.give(hold, done);
    assert.throws(() => fleet.give(hold, done), /once/);
  });
});

describe('fleet: over any history', () => {
  type Step =
    | { readonly kind: 'take'; readonly pick: number; readonly model: string }
    | { readonly kind: 'give'; readonly pick: number; readonly outcome: Outcome }
    | { readonly kind: 'observe'; readonly id: string; readonly observation: Observation }
    | { readonly kind: 'set'; readonly ids: readonly string[]; readonly slots: number }
    | { readonly kind: 'wait'; readonly ms: number };

  const ids = ['a', 'b', 'c'];
  const models = ['m1:latest', 'm2:latest'];
  const inventories = fc.subarray(models).map((names) => names.map((name) => installed(name)));
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('take' as const), pick: fc.nat(), model: fc.constantFrom(...models) }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('give' as const),
        pick: fc.nat(),
        outcome: fc.constantFrom<Outcome>(done, reset, runnerDied, refused, neutral, { kind: 'busy' }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('observe' as const),
        id: fc.constantFrom(...ids),
        observation: fc.oneof(
          fc.constant<Observation>({ kind: 'alive', version: '0.33.0' }),
          fc.constant<Observation>({ kind: 'probe-failed', reason: 'x' }),
          fc.constantFrom<Observation>(
            { kind: 'breaker', state: 'open', reason: '' },
            { kind: 'breaker', state: 'half-open', reason: '' },
            { kind: 'breaker', state: 'closed', reason: '' },
            { kind: 'admin', state: 'draining' },
            { kind: 'admin', state: 'active' },
          ),
          inventories.map((list): Observation => ({ kind: 'inventory', models: list })),
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('set' as const),
        ids: fc.subarray(ids),
        slots: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    },
  );

  it('holds its invariants', () => {
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 120 }), (steps) => {
        const { fleet, clock } = fleetOf(
          ids.map((id) => backend(id, { slots: 2 })),
          { models },
        );
        const held: Hold[] = [];
        for (const each of steps) {
          if (each.kind === 'take') {
            const asked = job({ model: each.model });
            const eligibility = fleet.eligible(asked, []);
            if (eligibility.kind === 'candidates') {
              held.push(fleet.take(eligibility.candidates[each.pick % eligibility.candidates.length]!.id, asked));
            }
          }
          if (each.kind === 'give' && held.length > 0)
            fleet.give(held.splice(each.pick % held.length, 1)[0]!, each.outcome);
          if (each.kind === 'observe') fleet.observe(each.id, each.observation);
          if (each.kind === 'set') fleet.set(each.ids.map((id) => backend(id, { slots: each.slots })));
          if (each.kind === 'wait') clock.tick(each.ms);
          check(fleet, held);
        }
        for (const hold of held) fleet.give(hold, done);
        for (const view of fleet.view()) assert.equal(view.inFlight, 0);
        fleet.set([]);
        assert.equal(clock.pendingTimers, 0, 'a fleet without backends waits for nothing');
        assert.deepEqual(fleet.view(), []);
      }),
    );
  });

  function check(fleet: Fleet, held: readonly Hold[]): void {
    const views = fleet.view();
    assert.equal(
      views.reduce((sum, view) => sum + view.inFlight, 0),
      held.length,
      'every lease is counted',
    );
    for (const view of views) {
      const byModel = [...view.inFlightByModel.values()].reduce((sum, count) => sum + count, 0);
      assert.equal(byModel, view.inFlight);
    }
    for (const model of models) {
      const eligibility = fleet.eligible(job({ model }), []);
      const able = views.filter(({ state, installed, troubled }) => {
        const has = installed === null || installed.some(({ name }) => name === model);
        return has && (state === 'up' || state === 'probation') && !troubled.some((trouble) => trouble.model === model);
      });
      if (eligibility.kind === 'none') continue;
      for (const candidate of eligibility.candidates) {
        const view = views.find(({ id, state }) => id === candidate.id && state !== 'draining')!;
        assert.ok(view.inFlight < view.slots, 'a candidate has a free slot');
        assert.ok(view.installed === null || view.installed.some(({ name }) => name === model), 'and the model');
        assert.ok(['up', 'probation', 'ejected'].includes(view.state), `and is not ${view.state}`);
        assert.equal(view.breaker, 'closed');
        if (view.state === 'ejected') assert.deepEqual(able, [], 'and if it is ejected, nobody else could serve');
      }
    }
  }
});

describe('fleet: loads', () => {
  it('are told once, when the gateway has made them, and not again when the list of residents agrees', () => {
    const { fleet, events } = fleetOf([backend('a')]);
    const told = () =>
      events.flatMap((event) => ('model' in event && event.kind.startsWith('model-') ? [event.kind] : []));
    fleet.observe('a', { kind: 'loaded', model: 'tiny:latest', reason: 'placed', ms: 5 });
    fleet.observe('a', { kind: 'resident', models: [resident('tiny:latest')] });
    fleet.observe('a', { kind: 'unloaded', model: 'tiny:latest', reason: 'placed', ms: 5 });
    fleet.observe('a', { kind: 'resident', models: [] });
    assert.deepEqual(told(), ['model-loaded', 'model-unloaded']);
  });
});

describe('fleet: a job that has failed once', () => {
  it('hears of it when its only other choices are down, and waits for them while they are only busy', () => {
    const { fleet } = fleetOf([backend('a'), backend('b', { slots: 1 })]);
    fleet.take('b', job());
    assert.equal(may(fleet, job(), ['a']), 'full');
    fleet.observe('b', { kind: 'admin', state: 'draining' });
    assert.equal(may(fleet, job(), ['a']), 'tried');
    assert.deepEqual(may(fleet), ['a']);
  });
});
