import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Knowledge, type RunnerState } from '../../../src/core/routing/knowledge.ts';
import { LeaseBook } from '../../../src/core/routing/lease-book.ts';
import type { Outcome, Usage } from '../../../src/core/types.ts';
import { job } from '../../support/build.ts';

const done = (usage: Usage = {}): Outcome => ({ kind: 'done', usage, firstByteMs: null });
const gone: Outcome = { kind: 'client-gone', phase: 'waiting', usage: {} };
const failed: Outcome = { kind: 'failed', failure: 'reset', against: 'backend', committed: false };

class Bench {
  readonly knowledge = new Knowledge(10);
  readonly changes: number[] = [];
  readonly book = new LeaseBook(this.knowledge, (runner, now) => {
    assert.equal(runner, this.runner);
    this.changes.push(now);
  });
  readonly runner: RunnerState = this.knowledge.runner('a', job(), 0);

  constructor(phase: RunnerState['phase'] = 'ready') {
    this.knowledge.setPhase(this.runner, phase, 0);
  }
}

describe('the leases of a runner', () => {
  it('are counted for it and its backend, and each change is told and makes a new revision', () => {
    const { book, changes, runner } = new Bench();
    const { revision } = runner.backend;
    const first = book.open(runner, job(), 10);
    const second = book.open(runner, job(), 20);
    assert.deepEqual([runner.inFlight, runner.backend.inFlight, runner.lastUsed], [2, 2, 20]);
    first.answered(30);
    first.released(done(), 40);
    assert.deepEqual([runner.inFlight, runner.backend.inFlight, runner.lastUsed], [1, 1, 40]);
    second.released(gone, 50);
    assert.deepEqual([runner.inFlight, runner.backend.inFlight, runner.lastUsed], [0, 0, 50]);
    assert.deepEqual(changes, [30, 40, 50]);
    assert.equal(runner.backend.revision - revision, 4);
  });

  it('are none in the end, whatever the order and the endings', () => {
    const endings = fc.array(fc.record({ pick: fc.nat(), outcome: fc.constantFrom(done(), gone, failed) }), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(endings, (history) => {
        const { book, runner } = new Bench();
        const open = history.map((_, at) => book.open(runner, job(), at));
        for (const [index, { pick, outcome }] of history.entries()) {
          const [one] = open.splice(pick % open.length, 1);
          one!.released(outcome, 100 + index);
          assert.equal(runner.inFlight, open.length);
        }
        assert.deepEqual([runner.inFlight, runner.backend.inFlight], [0, 0]);
      }),
    );
  });

  it('tell what kind of model it is', () => {
    const { book, runner } = new Bench();
    book.open(runner, job({ task: 'embed' }), 0);
    assert.equal(runner.embeds, true);
    book.open(runner, job({ task: 'chat' }), 0);
    assert.equal(runner.embeds, false);
  });

  it('leave their prompts in its memory', () => {
    const { book, knowledge, runner } = new Bench();
    const one = job({ prefix: [{ hash: 'one', tokens: 70 }] });
    book.open(runner, one, 0);
    assert.equal(knowledge.remembered(one).get(runner), 70);
  });
});

describe('a lease of a model that is not in memory', () => {
  it('loads it; the first byte says that it is there', () => {
    const { book, runner } = new Bench('absent');
    const lease = book.open(runner, job(), 10);
    assert.deepEqual([runner.phase, runner.since], ['loading', 10]);
    lease.answered(500);
    assert.deepEqual([runner.phase, runner.since], ['ready', 500]);
  });

  it('has loaded it when it is done, though nobody saw a first byte', () => {
    for (const phase of ['absent', 'loading'] as const) {
      const { book, knowledge, runner } = new Bench('ready');
      const lease = book.open(runner, job(), 10);
      knowledge.setPhase(runner, phase, 15);
      lease.released(done(), 20);
      assert.equal(runner.phase, 'ready', phase);
    }
  });

  it('has not when it fails, or its client leaves, before anything came, unless another still waits for it', () => {
    for (const outcome of [failed, gone]) {
      const { book, runner } = new Bench('absent');
      const [first, second] = [book.open(runner, job(), 10), book.open(runner, job(), 10)];
      first.released(outcome, 20);
      assert.equal(runner.phase, 'loading');
      second.released(outcome, 30);
      assert.equal(runner.phase, 'absent');
    }
  });

  it('says nothing of a later load when it fails after its first byte', () => {
    const { book, knowledge, runner } = new Bench('absent');
    const lease = book.open(runner, job(), 10);
    lease.answered(20);
    knowledge.setPhase(runner, 'loading', 30);
    lease.released(failed, 40);
    assert.equal(runner.phase, 'loading');
  });

  it('leaves a runner that serves, or is on its way out, as it is', () => {
    for (const phase of ['ready', 'draining'] as const) {
      const { book, runner } = new Bench(phase);
      book.open(runner, job(), 10).released(failed, 20);
      const served = book.open(runner, job(), 30);
      served.answered(40);
      served.released(done(), 50);
      assert.equal(runner.phase, phase);
    }
  });
});

describe('what a lease teaches', () => {
  it('is how long a slot is held, the load not counted', () => {
    const { book, knowledge, runner } = new Bench();
    book.open(runner, job(), 1000).released(done({ loadMs: 300 }), 3000);
    assert.equal(knowledge.expectedHoldMs(runner), 1700);
    const other = new Bench();
    other.book.open(other.runner, job(), 1000).released(done({ loadMs: 5000 }), 3000);
    assert.equal(other.knowledge.expectedHoldMs(other.runner), 0, 'never less than nothing');
  });

  it('is nothing of its speed when it did not end well', () => {
    const { book, runner } = new Bench();
    book.open(runner, job(), 0).released(gone, 9000);
    book.open(runner, job(), 0).released(failed, 9000);
    assert.equal(runner.holdMs.value, null);
  });

  it('is how fast its backend processes a prompt, unless the runner remembered some of it', () => {
    const usage = { promptTokens: 1000, promptMs: 520 };
    const { book, runner } = new Bench();
    const prefix = [{ hash: 'one', tokens: 900 }];
    book.open(runner, job({ prefix }), 0).released(done(usage), 1000);
    assert.equal(runner.backend.prefill.value, 2000);
    book.open(runner, job({ prefix }), 2000).released(done({ ...usage, promptMs: 40 }), 3000);
    assert.equal(runner.backend.prefill.value, 2000, 'fifty tokens a millisecond were not processed');
  });

  it('is that so many are served at once, from a first byte that came before any other ended', () => {
    const { book, runner } = new Bench();
    book.open(runner, job(), 0);
    const second = book.open(runner, job(), 0);
    const third = book.open(runner, job(), 0);
    second.answered(10);
    assert.equal(runner.slots.proven, 2);
    second.released(done(), 20);
    third.answered(30);
    assert.equal(runner.slots.proven, 2, 'the third may have got its slot from the second');
  });

  it('is that one too many was sent, from time that its answer does not explain', () => {
    const { book, runner } = new Bench();
    book.open(runner, job(), 0);
    const second = book.open(runner, job(), 0);
    const usage = { loadMs: 100, promptMs: 200, outputMs: 300, totalMs: 600 };
    second.released(done(usage), 600);
    assert.equal(runner.slots.most, null, 'all of it is explained');
    book.open(runner, job(), 700).released(done({ ...usage, totalMs: 2000 }), 2700);
    assert.equal(runner.slots.most, 1);
  });
});
