import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Heap } from '../../src/core/heap.ts';

interface Item {
  rank: number;
}

const earlier = (a: Item, b: Item): boolean => a.rank < b.rank;
const rank = fc.nat({ max: 20 });
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('add' as const), rank }),
    fc.record({ kind: fc.constant('remove' as const), pick: fc.nat() }),
    fc.record({ kind: fc.constant('move' as const), pick: fc.nat(), rank }),
  ),
  { size: 'max', maxLength: 60 },
);

/** Everything that can be found from the first by way of `below`. */
function found(heap: Heap<Item>): Item[] {
  const all: Item[] = [];
  const next = heap.first === undefined ? [] : [heap.first];
  for (let item = next.pop(); item !== undefined; item = next.pop()) {
    all.push(item);
    const below = heap.below(item);
    assert.ok(below.length <= 2);
    for (const one of below) assert.ok(!earlier(one, item), 'nobody is below whom he precedes');
    next.push(...below);
  }
  return all;
}

describe('a heap', () => {
  it('knows who comes first, and all its members, whoever comes, goes or moves', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const heap = new Heap<Item>(earlier);
        const members: Item[] = [];
        const pick = (index: number): Item | undefined => members[index % Math.max(1, members.length)];
        for (const step of history) {
          if (step.kind === 'add') {
            const item = { rank: step.rank };
            members.push(item);
            heap.add(item);
          } else {
            const item = pick(step.pick);
            if (item === undefined) continue;
            if (step.kind === 'remove') {
              members.splice(members.indexOf(item), 1);
              assert.equal(heap.remove(item), true);
              assert.equal(heap.has(item), false);
              assert.equal(heap.remove(item), false, 'once');
            } else {
              item.rank = step.rank;
              heap.moved(item);
            }
          }
          assert.equal(heap.size, members.length);
          assert.equal(
            heap.first?.rank,
            members.length === 0 ? undefined : Math.min(...members.map((one) => one.rank)),
          );
          assert.deepEqual(new Set(heap), new Set(members));
          const walked = found(heap);
          assert.equal(walked.length, members.length);
          assert.deepEqual(new Set(walked), new Set(members));
          for (const item of members) assert.ok(heap.has(item));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives its members up in order', () => {
    fc.assert(
      fc.property(fc.array(rank), (ranks) => {
        const heap = new Heap<Item>(earlier);
        for (const one of ranks) heap.add({ rank: one });
        const order: number[] = [];
        for (let { first } = heap; first !== undefined; { first } = heap) {
          order.push(first.rank);
          heap.remove(first);
        }
        assert.deepEqual(
          order,
          [...ranks].sort((a, b) => a - b),
        );
      }),
    );
  });

  it('keeps whoever came first among equals at the top', () => {
    const heap = new Heap<Item>(earlier);
    const first = { rank: 1 };
    heap.add(first);
    heap.add({ rank: 1 });
    heap.moved(first);
    assert.equal(heap.first, first);
  });

  it('does not mind being told of a stranger', () => {
    const heap = new Heap<Item>(earlier);
    heap.add({ rank: 1 });
    heap.moved({ rank: 0 });
    assert.equal(heap.remove({ rank: 1 }), false);
    assert.equal(heap.size, 1);
  });
});
