import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Weighed } from '../../../src/core/routing/cost.ts';
import { DecisionLog, held, placed, sent, type Decision } from '../../../src/core/routing/decisions.ts';
import { Knowledge } from '../../../src/core/routing/knowledge.ts';
import type { Plan } from '../../../src/core/routing/residency.ts';
import type { RouteReason } from '../../../src/core/types.ts';
import { job } from '../../support/build.ts';

const knowledge = new Knowledge(10);
const terms = {
  phase: 'ready',
  free: true,
  waitMs: 1,
  loadMs: 2,
  prefillMs: 3,
  cachedTokens: 4,
  totalMs: 6,
} as const;

function weighed(backend: string): Weighed {
  return { backend, runner: knowledge.runner(backend, job(), 0), tier: 1, rank: 7, ...terms };
}

function plan(prices: Pick<Plan, 'priceMs' | 'regretMs'>): Plan {
  const wanted = job({ model: 'new:latest', runnerOptions: 'num_ctx=10' });
  const victim = knowledge.runner('a', job({ model: 'old:latest' }), 0);
  const runner = knowledge.runner('a', wanted, 0);
  return { runner, job: wanted, victims: [victim], since: 0, issued: false, ...prices };
}

describe('the log of decisions', () => {
  it('keeps the last so many, newest first, whatever came before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 0, max: 30 }), (capacity, count) => {
        const log = new DecisionLog(capacity);
        for (let at = 0; at < count; at += 1) log.add(placed(plan({ priceMs: 0, regretMs: 0 }), 0, at));
        const kept = Array.from({ length: Math.min(capacity, count) }, (_, age) => count - 1 - age);
        assert.deepEqual(
          log.list().map(({ at }) => at),
          kept,
        );
      }),
    );
  });

  it('tells of one only when it is asked for', () => {
    const log = new DecisionLog(2);
    let told = 0;
    log.add(() => {
      told += 1;
      return placed(plan({ priceMs: 0, regretMs: 0 }), 0, 0)();
    });
    assert.equal(told, 0);
    log.list();
    assert.equal(told, 1);
  });
});

describe('a decision', () => {
  const one = job({ id: 'one', runnerOptions: 'num_ctx=10' });
  const about = { job: 'one', model: 'tiny:latest', options: 'num_ctx=10' };

  it('to send names where to, since when, why, and what everybody would have cost', () => {
    const tell = sent({ job: one, since: 100 }, { backend: 'a', reason: 'warm' }, [weighed('a'), weighed('b')], 250);
    const { why, ...told } = tell() as Extract<Decision, { kind: 'sent' }>;
    assert.deepEqual(told, {
      kind: 'sent',
      at: 250,
      ...about,
      backend: 'a',
      reason: 'warm',
      waitedMs: 150,
      candidates: [
        { backend: 'a', ...terms },
        { backend: 'b', ...terms },
      ],
    });
    assert.match(why, /in memory/);
  });

  it('has a reason of its own for every way to be chosen', () => {
    const reasons: RouteReason[] = ['only', 'warm', 'sticky', 'least-busy', 'cold', 'policy', 'placement'];
    const sentences = reasons.map((reason) => sent({ job: one, since: 0 }, { backend: 'a', reason }, [], 0)().why);
    assert.equal(new Set(sentences).size, reasons.length);
  });

  it('to hold names for whom, instead of whom and for how long at most', () => {
    const [busy, free] = [weighed('busy'), weighed('free')];
    const { why, ...told } = held(one, { free, busy }, [busy, free], { at: 5, forMs: 900 })();
    assert.deepEqual(told, {
      kind: 'held',
      at: 5,
      ...about,
      backend: 'busy',
      instead: 'free',
      forMs: 900,
      candidates: [
        { backend: 'busy', ...terms },
        { backend: 'free', ...terms },
      ],
    });
    assert.match(why, /sooner/);
  });

  it('to place names whose place it takes, at which price, and which of the two reasons', () => {
    const { why, ...told } = placed(plan({ priceMs: 10, regretMs: 10 }), 3, 7)();
    assert.deepEqual(told, {
      kind: 'placed',
      at: 7,
      model: 'new:latest',
      options: 'num_ctx=10',
      backend: 'a',
      evicted: ['old:latest'],
      priceMs: 10,
      regretMs: 10,
      waiting: 3,
    });
    assert.match(why, /as evicting costs/);
    assert.match(placed(plan({ priceMs: 10, regretMs: 9 }), 3, 7)().why, /as anybody should/);
  });
});
