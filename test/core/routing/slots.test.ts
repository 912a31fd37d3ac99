import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { SlotEstimate } from '../../../src/core/routing/slots.ts';

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

  it('knows how many are too many only when one had to wait, or when all that anybody runs were served', () => {
    const slots = new SlotEstimate();
    assert.deepEqual([slots.isKnown, slots.most], [false, null]);
    slots.waited(5, 300, 0);
    assert.deepEqual([slots.isKnown, slots.most], [true, 4]);
    slots.waited(9, 5000, 0);
    assert.equal(slots.most, 4, 'a wait of one beyond tells nothing new');
    slots.served(6);
    assert.equal(slots.most, 6, 'but who was served was served');
    slots.served(100);
    assert.deepEqual([slots.proven, slots.most], [32, 32]);
    assert.equal(slots.limit(0), 32);
  });

  it('takes back what it had proven when fewer had to wait', () => {
    const slots = new SlotEstimate();
    slots.served(8);
    slots.waited(5, 5000, 0);
    assert.deepEqual([slots.proven, slots.limit(0)], [4, 4]);
  });

  it('expects of another runner what the first has shown, for as long', () => {
    const [slots, other] = [new SlotEstimate(), new SlotEstimate()];
    other.served(3);
    other.waited(4, 5000, 100_000);
    slots.expect(other);
    assert.deepEqual([slots.proven, slots.most, slots.limit(100_000)], [3, 3, 3]);
    assert.equal(slots.limit(700_000), 3);
    assert.equal(slots.limit(700_001), 4);
  });

  it('takes up what was saved, as far as it can be true', () => {
    for (const [saved, proven] of [
      [0, 1],
      [1, 1],
      [4.9, 4],
      [1e6, 32],
    ] as const) {
      const slots = new SlotEstimate();
      slots.restore(saved);
      assert.equal(slots.proven, proven);
    }
  });
});
