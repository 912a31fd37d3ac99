import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Prospect } from '../../../src/core/eligibility.ts';
import { weigh, type Weighed } from '../../../src/core/routing/cost.ts';
import { Knowledge, type Phase, type RunnerState } from '../../../src/core/routing/knowledge.ts';
import type { Job } from '../../../src/core/types.ts';
import { backend, job } from '../../support/build.ts';

const NOW = 100_000;
const HOLD = 2000;
const LOAD = 8000;

/** One runner of tiny:latest on a backend that processes a token in a millisecond and is known to have two slots. */
class Site {
  readonly knowledge = new Knowledge(10);
  readonly runner: RunnerState;
  readonly claims = new Map<RunnerState, number>();

  constructor(phase: Phase, inFlight = 0) {
    this.knowledge.configure(backend('a', { parallel: 2, tier: 3 }));
    this.runner = this.knowledge.runner('a', job(), 0);
    this.knowledge.loaded(this.runner, LOAD);
    this.knowledge.slotHeld(this.runner, HOLD);
    this.knowledge.setPhase(this.runner, phase, NOW);
    this.runner.inFlight = inFlight;
  }

  weigh(prospect: Partial<Prospect> = {}, one: Job = job({ promptTokens: 1000 }), now = NOW): Weighed {
    const asked: Prospect = { id: 'a', weight: 1, inFlight: 0, free: true, spare: false, ...prospect };
    const [weighed] = weigh(one, [[this.runner, asked]], this, now);
    return weighed!;
  }
}

describe('what a backend costs a job', () => {
  it('is the time to its first token: a wait, a load and the prompt', () => {
    for (const phase of ['absent', 'loading', 'ready'] as const) {
      for (const inFlight of [0, 1, 2, 5]) {
        const { totalMs, waitMs, loadMs, prefillMs } = new Site(phase, inFlight).weigh();
        assert.equal(totalMs, waitMs + loadMs + prefillMs);
      }
    }
  });

  it('is only the prompt where the model is ready and a slot is free', () => {
    const { backend: id, cachedTokens, free, loadMs, prefillMs, tier, waitMs } = new Site('ready').weigh();
    assert.deepEqual(
      { id, cachedTokens, free, loadMs, prefillMs, tier, waitMs },
      {
        id: 'a',
        cachedTokens: 0,
        free: true,
        loadMs: 0,
        prefillMs: 1020,
        tier: 3,
        waitMs: 0,
      },
    );
  });

  it('is less by what the runner remembers of the prompt', () => {
    const site = new Site('ready');
    const prefix = [{ hash: 'one', tokens: 600 }];
    site.knowledge.remember(site.runner, job({ prefix }));
    const { cachedTokens, prefillMs } = site.weigh({}, job({ promptTokens: 1000, prefix }));
    assert.deepEqual([cachedTokens, prefillMs], [600, 420]);
    const short = site.weigh({}, job({ promptTokens: 500, prefix }));
    assert.deepEqual([short.cachedTokens, short.prefillMs], [500, 20], 'never more than the prompt is long');
  });

  it('is a whole load where the model is absent, what is left of one while it is loading', () => {
    assert.equal(new Site('absent').weigh().loadMs, LOAD);
    const loading = new Site('loading');
    assert.equal(loading.weigh({}, job(), NOW + 3000).loadMs, LOAD - 3000);
    assert.equal(loading.weigh({}, job(), NOW + 60_000).loadMs, LOAD / 10, 'which is late, and may end soon');
    const { free, waitMs } = loading.weigh();
    assert.deepEqual([free, waitMs], [false, 0], 'nobody goes there now, but nobody waits for a slot');
  });

  it('is the turns of those before it where no slot is free', () => {
    const site = new Site('ready', 2);
    assert.deepEqual([site.weigh().free, site.weigh().waitMs], [false, HOLD / 2]);
    site.claims.set(site.runner, 3);
    assert.equal(site.weigh().waitMs, (4 * HOLD) / 2, 'those who have chosen to wait there are served first');
    const empty = new Site('ready');
    assert.equal(empty.weigh({ free: false }).waitMs, HOLD / 2, 'one turn where the backend is busy with other models');
    assert.equal(new Site('ready', 1).weigh().free, true);
  });

  it('grows with the company in the runner, up to all its other slots', () => {
    const [alone, beside, full, over] = [0, 1, 2, 9].map((inFlight) => new Site('ready', inFlight).weigh().prefillMs);
    assert.equal(alone, 1020);
    assert.ok(beside! > alone);
    assert.deepEqual([full, over], [beside, beside]);
  });

  it('is nothing to think of where the runner is on its way out', () => {
    const site = new Site('draining');
    const asked: Prospect = { id: 'a', weight: 1, inFlight: 0, free: true, spare: false };
    assert.deepEqual(weigh(job(), [[site.runner, asked]], site, NOW), []);
  });
});

describe('the rank of a backend', () => {
  it('is its cost, where weights are one and nothing runs', () => {
    const { rank, totalMs } = new Site('ready').weigh();
    assert.equal(rank, totalMs);
  });

  it('puts the idler of two that cost the same first, by a millisecond a request', () => {
    const site = new Site('ready');
    assert.equal(site.weigh({ inFlight: 3 }).rank - site.weigh({ inFlight: 0 }).rank, 3);
    assert.equal(site.weigh({ inFlight: 3, weight: 3 }).totalMs, site.weigh({ inFlight: 0 }).totalMs);
    assert.ok(site.weigh({ inFlight: 3, weight: 3 }).rank < site.weigh({ inFlight: 3 }).rank);
  });

  it('never falls when the weight falls, whatever runs there', () => {
    const weights = fc.tuple(
      fc.double({ min: 0.1, max: 10, noNaN: true }),
      fc.double({ min: 0.1, max: 10, noNaN: true }),
    );
    fc.assert(
      fc.property(weights, fc.integer({ min: 0, max: 4 }), (two, inFlight) => {
        const [light, heavy] = [...two].sort((a, b) => a - b) as [number, number];
        const site = new Site('ready', inFlight);
        assert.ok(site.weigh({ weight: light, inFlight }).rank >= site.weigh({ weight: heavy, inFlight }).rank - 1e-6);
      }),
      { numRuns: 50 },
    );
  });

  it('makes twice the weight look half as busy', () => {
    const busy = new Site('ready', 1);
    const heavy = busy.weigh({ weight: 2, inFlight: 0 });
    const [idleMs, besideMs] = [new Site('ready').weigh().prefillMs, busy.weigh().prefillMs];
    assert.ok(heavy.rank > idleMs && heavy.rank < besideMs, `${heavy.rank} between ${idleMs} and ${besideMs}`);
  });
});
