import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { LearntMean, LearntRate } from '../../../src/core/routing/learnt.ts';

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
