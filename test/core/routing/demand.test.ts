import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Demands } from '../../../src/core/routing/demand.ts';

const MINUTE = 60_000;

describe('the demand for a runner', () => {
  it('regrets as much as the areas under the number of those that wait', () => {
    const steps = fc.array(fc.record({ waiting: fc.integer({ min: 1, max: 9 }), forMs: fc.nat({ max: 1000 }) }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(steps, (history) => {
        const demands = new Demands();
        let [now, regretMs] = [0, 0];
        for (const { waiting, forMs } of history) {
          assert.equal(demands.count('m', waiting, now).regretMs, regretMs);
          now += forMs;
          regretMs += waiting * forMs;
        }
        const told = demands.count('m', 1, now);
        assert.deepEqual([told.regretMs, told.waiting], [regretMs, 1]);
      }),
    );
  });

  it('forgets the regret when nobody waits any more, or when a place was bought', () => {
    const demands = new Demands();
    demands.count('m', 2, 0);
    assert.equal(demands.count('m', 2, 100).regretMs, 200);
    assert.equal(demands.count('m', 0, 200).regretMs, 0);
    assert.equal(demands.count('m', 3, 300).regretMs, 0, 'nobody waited meanwhile');
    assert.equal(demands.count('m', 3, 400).regretMs, 300);
    demands.settle('m');
    demands.settle('never asked for');
    assert.equal(demands.count('m', 3, 500).regretMs, 300, 'only what came after');
  });

  it('is none for what nobody asked for', () => {
    assert.equal(new Demands().rate('m', 0), 0);
  });

  it('comes near the true rate of steady requests, and remembers the usual one when they pause', () => {
    const demands = new Demands();
    let now = 0;
    for (; now < 120 * MINUTE; now += 10_000) demands.came('m', now);
    const steady = demands.rate('m', now);
    assert.ok(Math.abs(steady * 10_000 - 1) < 0.2, String(steady));
    const paused = demands.rate('m', now + 5 * MINUTE);
    assert.ok(paused > 0.5 * steady && paused < steady, String(paused / steady));
    assert.ok(demands.rate('m', now + 120 * MINUTE) < 0.01 * steady);
  });

  it('rises within seconds when a burst comes', () => {
    const demands = new Demands();
    for (let now = 0; now < 5000; now += 100) demands.came('m', now);
    assert.ok(demands.rate('m', 5000) > 0.001, 'fifty in five seconds look like more than one a second');
  });

  it('is kept apart by runner', () => {
    const demands = new Demands();
    demands.came('m', 0);
    demands.count('m', 5, 0);
    assert.equal(demands.rate('n', 0), 0);
    assert.equal(demands.count('n', 1, 100).regretMs, 0);
  });

  it('does not grow with the names that are asked for, and keeps what is asked for and waited for', () => {
    const demands = new Demands();
    demands.count('waited for', 1, 0);
    demands.came('rare', 0);
    demands.came('usual', 0);
    for (let name = 0; name < 9000; name += 1) {
      demands.came(`m${name}`, name);
      if (name % 1000 === 0) demands.came('usual', name);
    }
    assert.equal(demands.rate('rare', 9000), 0, 'the least recent is forgotten');
    assert.equal(demands.rate('m4990', 9000), 0);
    assert.ok(demands.rate('m8999', 9000) > 0);
    assert.ok(demands.rate('m5100', 9000) > 0, 'four thousand are remembered');
    const perEach = demands.rate('usual', 9000) / demands.rate('m8999', 9000);
    assert.ok(perEach > 7, 'what is asked for again and again is remembered from its first request on');
    assert.equal(demands.count('waited for', 1, 9000).regretMs, 9000);
  });
});
