/** The core among faults, in a few of the histories of `npm run sim:faults`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simulate } from '../../bench/faults/simulate.ts';
import { backend, fleetOf, job } from '../support/build.ts';

describe('the core among faults', () => {
  it('keeps every promise after every step', async () => {
    for (let seed = 1; seed <= 16; seed += 1) {
      const { violation } = await simulate(seed, 300);
      assert.equal(
        violation,
        null,
        `seed ${seed}: ${JSON.stringify(violation)}; npm run sim:faults -- --seed ${seed} --replay`,
      );
    }
  });

  it('does the same again from the same seed, and something else from another', async () => {
    const [first, again, other] = [await simulate(5, 300), await simulate(5, 300), await simulate(6, 300)];
    assert.deepEqual(again.log, first.log);
    assert.equal(again.digest, first.digest);
    assert.notEqual(other.digest, first.digest);
  });

  it('counts the leases of a backend that moved away and back', () => {
    const here = backend('a', { slots: 1 });
    const { fleet } = fleetOf([here]);
    const hold = fleet.take('a', job());
    fleet.set([backend('a', { slots: 1, url: 'http://elsewhere.example:11434' })]);
    fleet.set([here]);
    assert.equal(fleet.outlook(job(), []), 'full');
    fleet.give(hold, { kind: 'done', usage: {}, firstByteMs: 1 });
    assert.equal(fleet.outlook(job(), []), 'free');
  });
});
