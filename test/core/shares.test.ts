/** The accounts themselves; what follows of them for who is served when is in fairness.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { expectedTokens, Shares, type Charge, type Tab } from '../../src/core/shares.ts';
import type { Job, Outcome, Usage } from '../../src/core/types.ts';
import { job } from '../support/build.ts';

const done = (usage: Usage = {}): Outcome => ({ kind: 'done', usage, firstByteMs: null });
const of = (client: string, rest: Partial<Job> = {}): Job => job({ client, promptTokens: 100, ...rest });
const share = (weight: number) => ({ share: { weight } });

describe('a charge', () => {
  it('is the prompt and twice what the answer may have: its limit, or a usual one', () => {
    const { pool } = new Shares().join(of('a'), 0);
    assert.equal(expectedTokens(of('a'), pool), 100 + 2 * 256);
    assert.equal(expectedTokens(of('a', { maxOutputTokens: 10 }), pool), 120);
    assert.equal(expectedTokens(of('a', { maxOutputTokens: 9000 }), pool), 612);
  });

  it('is replaced by what the answer took, by weight', () => {
    for (const weight of [1, 4]) {
      for (const [outcome, taken] of [
        [done({ promptTokens: 50, outputTokens: 30 }), 110],
        [done({ outputTokens: 30 }), 160],
        [done(), 612],
        [{ kind: 'client-gone', phase: 'streaming', usage: { outputTokens: 5 } }, 110],
        [{ kind: 'client-gone', phase: 'waiting', usage: {} }, 100],
        [{ kind: 'neutral', reason: '' }, 0],
        [{ kind: 'busy' }, 0],
        [{ kind: 'failed', failure: 'reset', against: 'backend', committed: true }, 0],
      ] as const satisfies (readonly [Outcome, number])[]) {
        const shares = new Shares();
        const one = of('a', share(weight));
        const charge = shares.admit(one, 0);
        assert.equal(charge.tab.counter, 612 / weight);
        shares.settle(charge, one, outcome);
        assert.equal(charge.tab.counter, taken / weight, JSON.stringify(outcome));
      }
    }
  });

  it('follows the answers there have been', () => {
    const shares = new Shares();
    const stays = shares.join(of('stays'), 0);
    for (let count = 0; count < 60; count += 1) {
      shares.settle(shares.admit(of('a'), 0), of('a'), done({ outputTokens: 1000 }));
    }
    assert.ok(stays.pool.meanOutput > 990 && stays.pool.meanOutput <= 1000, String(stays.pool.meanOutput));
    const { meanOutput } = stays.pool;
    shares.settle(shares.admit(of('a'), 0), of('a'), { kind: 'client-gone', phase: 'waiting', usage: {} });
    assert.equal(stays.pool.meanOutput, meanOutput, 'who left tells nothing of answers');
  });
});

describe('the accounts of a pool', () => {
  it('agree with who waits and who runs, and are closed when nobody does', () => {
    const clients = fc.constantFrom('a', 'b', 'c');
    const steps = fc.array(
      fc.oneof(
        fc.record({
          kind: fc.constantFrom('join' as const, 'admit' as const),
          client: clients,
          weight: fc.constantFrom(1, 3),
        }),
        fc.record({ kind: fc.constantFrom('leave' as const, 'go' as const, 'settle' as const), pick: fc.nat() }),
      ),
      { size: 'max', maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, (history) => {
        const shares = new Shares();
        const waiting: { readonly tab: Tab; readonly job: Job }[] = [];
        const running: { readonly charge: Charge; readonly job: Job }[] = [];
        let level = 0;
        for (const [now, step] of history.entries()) {
          if ('client' in step) {
            const one = of(step.client, share(step.weight));
            if (step.kind === 'join') waiting.push({ tab: shares.join(one, now), job: one });
            else running.push({ charge: shares.admit(one, now), job: one });
          } else if (step.kind === 'settle') {
            const [ended] = running.splice(step.pick % Math.max(1, running.length), 1);
            if (ended !== undefined) shares.settle(ended.charge, ended.job, done({ outputTokens: 10 }));
          } else {
            const [gone] = waiting.splice(step.pick % Math.max(1, waiting.length), 1);
            if (gone === undefined) continue;
            if (step.kind === 'go') running.push({ charge: shares.charge(gone.job), job: gone.job });
            shares.leave(gone.tab);
          }
          const tabs = new Set([...waiting.map(({ tab }) => tab), ...running.map(({ charge }) => charge.tab)]);
          const [first] = tabs;
          if (first === undefined) {
            level = 0;
            continue;
          }
          const { pool } = first;
          for (const tab of tabs) {
            assert.equal(tab.pool, pool);
            assert.equal(tab.waiting, waiting.filter((one) => one.tab === tab).length);
            assert.equal(tab.running, running.filter(({ charge }) => charge.tab === tab).length);
          }
          assert.equal(pool.inUse, tabs.size);
          assert.equal(pool.running, running.length);
          assert.equal(
            pool.weight,
            [...tabs].reduce((sum, { weight }) => sum + weight, 0),
          );
          assert.ok(pool.level >= level, 'the level never falls');
          ({ level } = pool);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('are one of each band and runner, or one of each band', () => {
    const shares = new Shares();
    const pools = () =>
      [of('a'), of('a', { priority: 1 }), of('a', { model: 'n:latest' }), of('a', { runnerOptions: 'num_ctx=1' })].map(
        (one) => shares.join(one, 0).pool,
      );
    assert.equal(new Set(pools()).size, 2);
    shares.setByRunner(true);
    assert.equal(new Set(pools()).size, 4);
  });

  it('let whoever comes start where the one that was served last is', () => {
    const shares = new Shares();
    const early = shares.join(of('early'), 0);
    shares.admit(of('early'), 0);
    shares.admit(of('early'), 0);
    assert.equal(shares.join(of('late'), 0).counter, 612);
    assert.equal(early.counter, 1224);
    assert.equal(shares.join(of('early'), 0).counter, 1224, 'who was there keeps what he has had');
  });

  it('do not grow with the clients that come and go', () => {
    const shares = new Shares();
    const { pool } = shares.join(of('stays'), 0);
    const ahead = shares.admit(of('ahead', share(0.001)), 0);
    shares.settle(ahead, of('ahead', share(0.001)), done({ outputTokens: 5 }));
    for (let count = 0; count < 3000; count += 1) shares.leave(shares.join(of(`guest${count}`), 0));
    assert.ok(pool.tabs.size <= 512, String(pool.tabs.size));
    assert.ok(pool.tabs.has('stays') && pool.tabs.has('ahead'), 'who waits, or has had more than others, is kept');
  });
});

describe('whoever has most of the slots', () => {
  function held(of: Record<string, number>, weights: Record<string, number> = {}): { shares: Shares; tab: Tab } {
    const shares = new Shares();
    const tabs = Object.entries(of).flatMap(([client, count]) =>
      Array.from({ length: count }, () => shares.admit(job({ client, ...share(weights[client] ?? 1) }), 0).tab),
    );
    return { shares, tab: tabs[0]! };
  }

  it('lets others find one, as long as they came lately', () => {
    const { shares, tab } = held({ greedy: 4, other: 1 });
    assert.equal(shares.yields(tab, 0), true);
    assert.equal(shares.yields(tab, 59_999), true);
    assert.equal(shares.yields(tab, 60_000), false);
  });

  it('is one with more than half as much again as its part', () => {
    const yields = (of: Record<string, number>, weights?: Record<string, number>): boolean => {
      const { shares, tab } = held(of, weights);
      return shares.yields(tab, 0);
    };
    assert.equal(yields({ one: 3, other: 1 }), false, 'three of four are half as much again as two');
    assert.equal(yields({ one: 7, other: 2 }), true);
    assert.equal(yields({ one: 4, other: 1 }, { one: 3 }), false, 'its part is three quarters');
    assert.equal(yields({ one: 9 }), false, 'nobody else wants any');
  });

  it('counts one that has just gone as somebody who may come back', () => {
    const { shares, tab } = held({ greedy: 4 });
    const visitor = of('visitor');
    shares.leave(shares.join(visitor, 0));
    assert.equal(shares.yields(tab, 10), true);
    shares.admit(of('greedy'), 20);
    assert.equal(shares.yields(tab, 30), true, 'however often it has come itself since then');
  });

  it('yields to every band before its own that somebody came to lately', () => {
    const shares = new Shares();
    const batch = shares.admit(of('batch', { priority: 2 }), 0).tab;
    assert.equal(shares.yields(batch, 0), false);
    const first = shares.admit(of('first', { priority: 0 }), 0).tab;
    assert.equal(shares.yields(batch, 59_999), true);
    assert.equal(shares.yields(batch, 60_000), false);
    assert.equal(shares.yields(first, 0), false);
  });
});
