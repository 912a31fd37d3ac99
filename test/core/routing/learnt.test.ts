import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { LearntMean, LearntRate } from '../../../src/core/routing/learnt.ts';
import { SlotEstimate } from '../../../src/core/routing/slots.ts';

describe('a learnt mean', () => {
  it('is unknown at first, then lies between what it has seen', () => {
    assert.equal(new LearntMean().value, null);
    const samples = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(samples, (values) => {
        const mean = new LearntMean();
        for (const value of values) mean.add(value);
        assert.ok(mean.value! >= Math.min(...values) - 1e-6 && mean.value! <= Math.max(...values) + 1e-6);
      }),
    );
  });

  it('is the plain mean of the first few, and follows a change within some twenty samples', () => {
    const mean = new LearntMean();
    for (const sample of [1, 2, 3]) mean.add(sample);
    assert.equal(mean.value, 2);
    for (let sample = 0; sample < 40; sample += 1) mean.add(100);
    assert.ok(mean.value > 95, String(mean.value));
  });
});

describe('a learnt rate', () => {
  it('comes near the true rate of steady events, and falls by half in its half-life', () => {
    const rate = new LearntRate(10_000, 0);
    for (let now = 0; now <= 200_000; now += 500) rate.add(now);
    assert.ok(Math.abs(rate.perMs(200_000) * 500 - 1) < 0.05, String(rate.perMs(200_000)));
    assert.ok(Math.abs(rate.perMs(210_000) / rate.perMs(200_000) - 0.5) < 1e-9);
  });
});

describe('a slot estimate', () => {
  it('tries one more than proven until one has had to wait', () => {
    const slots = new SlotEstimate();
    assert.equal(slots.limit(0), 2);
    slots.served(2);
    slots.served(3);
    assert.equal(slots.limit(0), 4);
    slots.waited(4, 5000, 0);
    assert.equal(slots.limit(0), 3);
    slots.served(2);
    assert.equal(slots.limit(0), 3, 'what was proven is not unproven by less');
  });

  it('reaches all that a wide server can do in a few trials, each at most a quarter too wide', () => {
    const slots = new SlotEstimate();
    let trials = 0;
    for (let limit = slots.limit(0); limit > slots.proven; limit = slots.limit(0)) {
      assert.ok(limit === slots.proven + 1 || limit <= 1.25 * slots.proven, `${limit} after ${slots.proven}`);
      slots.served(limit);
      trials += 1;
    }
    assert.equal(slots.proven, 32);
    assert.ok(trials <= 15, `${trials} trials`);
    assert.equal(slots.isKnown, true);
  });

  it('takes short waits for noise', () => {
    const slots = new SlotEstimate();
    slots.waited(2, 100, 0);
    assert.equal(slots.limit(0), 2);
  });

  it('never falls below one, and tries again after ten minutes', () => {
    const slots = new SlotEstimate();
    slots.waited(1, 9000, 0);
    assert.equal(slots.limit(0), 2, 'a wait of the only one is not for a slot');
    slots.waited(2, 9000, 0);
    assert.equal(slots.limit(599_000), 1);
    assert.equal(slots.limit(601_000), 2);
  });

  it('finds any number of slots from what a true runner shows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 }), fc.integer({ min: 50, max: 200 }), (truth, rounds) => {
        const slots = new SlotEstimate();
        for (let round = 0; round < rounds; round += 1) {
          const active = slots.limit(round);
          if (active <= truth) slots.served(active);
          else slots.waited(active, 2000, round);
        }
        assert.equal(slots.limit(rounds), truth);
      }),
    );
  });
});
