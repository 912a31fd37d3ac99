import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Recent } from '../../src/core/recent.ts';

interface Entry {
  readonly key: number;
  isHeld: boolean;
}

describe('recently used entries', () => {
  it('are kept in the order of their use, and the first that may go makes room', () => {
    const step = fc.record({ key: fc.nat({ max: 9 }), hold: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const recent = new Recent<number, Entry>(4, ({ isHeld }) => !isHeld);
        let model: Entry[] = [];
        for (const { key, hold } of steps) {
          const known = recent.get(key);
          assert.equal(
            known,
            model.find((entry) => entry.key === key),
          );
          if (known === undefined && model.length >= 4) {
            const gone = model.find(({ isHeld }) => !isHeld);
            model = model.filter((entry) => entry !== gone);
          }
          const entry = known ?? recent.add(key, { key, isHeld: false });
          if (known !== undefined) recent.touch(key);
          entry.isHeld = hold;
          model = [...model.filter((one) => one !== entry), entry];
          assert.deepEqual([...recent.values()], model);
        }
      }),
    );
  });
});
