import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../../src/core/deadlines.ts';

/** Heaps have to grow a few levels deep before a removal can disturb another branch. */
const oftenTrue = fc.nat({ max: 9 }).map((number) => number < 7);

describe('deadlines', () => {
  it('always has the earliest first, whatever is added and removed', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(oftenTrue, fc.nat({ max: 50 })), { size: 'max', maxLength: 200 }), (steps) => {
        const deadlines = new Deadlines<{ readonly deadline: number }>();
        const model: { readonly deadline: number }[] = [];
        for (const [add, number] of steps) {
          if (add || model.length === 0) {
            const item = { deadline: number };
            deadlines.add(item);
            model.push(item);
          } else {
            const [gone] = model.splice(number % model.length, 1);
            assert.ok(deadlines.remove(gone!));
            assert.ok(!deadlines.remove(gone!));
          }
          assert.equal(deadlines.size, model.length);
          assert.equal(
            deadlines.first?.deadline,
            model.length === 0 ? undefined : Math.min(...model.map((item) => item.deadline)),
          );
        }
        const drained: number[] = [];
        for (let first = deadlines.first; first !== undefined; first = deadlines.first) {
          drained.push(first.deadline);
          deadlines.remove(first);
        }
        assert.deepEqual(
          drained,
          model.map((item) => item.deadline).sort((a, b) => a - b),
        );
      }),
    );
  });
});
