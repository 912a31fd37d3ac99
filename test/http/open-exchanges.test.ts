import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { OpenExchanges, TurnEnd, type Member } from '../../src/http/open-exchanges.ts';

describe('open exchanges', () => {
  it('hold whatever a set would hold', () => {
    const step = fc.record({ add: fc.boolean(), who: fc.nat({ max: 9 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const all: Member[] = Array.from({ length: 10 }, () => ({ place: 0 }));
        const open = new OpenExchanges<Member>();
        const model = new Set<Member>();
        for (const { add, who } of steps) {
          const member = all[who]!;
          if (!add) {
            open.delete(member);
            model.delete(member);
          } else if (!model.has(member)) {
            open.add(member);
            model.add(member);
          }
        }
        assert.deepEqual(new Set(open), model);
        assert.equal([...open].length, model.size);
      }),
    );
  });

  it('can be walked while they close', () => {
    const open = new OpenExchanges<Member>();
    for (let count = 0; count < 5; count += 1) open.add({ place: 0 });
    let walked = 0;
    for (const member of open) {
      open.delete(member);
      walked += 1;
    }
    assert.deepEqual([walked, [...open].length], [5, 0]);
  });
});

describe('the end of a turn', () => {
  it('calls everybody once, in order, and those who ask meanwhile in the next', async () => {
    const turn = new TurnEnd();
    const calls: string[] = [];
    turn.call(() => {
      calls.push('a');
      turn.call(() => calls.push('c'));
    });
    turn.call(() => calls.push('b'));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(calls, ['a', 'b']);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(calls, ['a', 'b', 'c']);
  });
});
