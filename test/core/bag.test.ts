import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Bag, type Member } from '../../src/core/bag.ts';

describe('a bag', () => {
  it('holds whatever a set would hold', () => {
    const step = fc.record({ add: fc.boolean(), who: fc.nat({ max: 9 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const all: Member[] = Array.from({ length: 10 }, () => ({ place: 0 }));
        const bag = new Bag<Member>();
        const model = new Set<Member>();
        for (const { add, who } of steps) {
          const member = all[who]!;
          if (!add) {
            assert.equal(bag.delete(member), model.delete(member));
          } else if (!model.has(member)) {
            bag.add(member);
            model.add(member);
          }
        }
        assert.deepEqual(new Set(bag), model);
        assert.deepEqual([[...bag].length, bag.size], [model.size, model.size]);
      }),
    );
  });

  it('can be walked while its members leave', () => {
    const bag = new Bag<Member>();
    for (let count = 0; count < 5; count += 1) bag.add({ place: 0 });
    let walked = 0;
    for (const member of bag) {
      bag.delete(member);
      walked += 1;
    }
    assert.deepEqual([walked, [...bag].length], [5, 0]);
  });
});
