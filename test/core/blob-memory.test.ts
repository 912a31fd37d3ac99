import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createBlobMemory } from '../../src/core/blob-memory.ts';
import { virtualClock } from '../support/virtual-clock.ts';

const hour = 3_600_000;

describe('the memory of uploads', () => {
  it('knows who has a file, the latest first, until its time is over', () => {
    const clock = virtualClock();
    const memory = createBlobMemory({ clock });
    memory.remember('d', 'a', hour);
    clock.tick(hour / 2);
    memory.remember('d', 'b', hour);
    assert.deepEqual(memory.holders('d'), ['b', 'a']);
    memory.remember('d', 'a', hour);
    assert.deepEqual(memory.holders('d'), ['a', 'b']);
    clock.tick(hour);
    assert.deepEqual(memory.holders('d'), []);
    assert.deepEqual(memory.holders('other'), []);
  });

  it('forgets what turned out to be wrong', () => {
    const memory = createBlobMemory({ clock: virtualClock() });
    memory.remember('d', 'a', hour);
    memory.remember('d', 'b', hour);
    memory.forget('d', 'a');
    memory.forget('never', 'a');
    assert.deepEqual(memory.holders('d'), ['b']);
    memory.forget('d', 'b');
    assert.deepEqual(memory.holders('d'), []);
  });

  it('keeps the uploads of one client together for a quarter of an hour after the last', () => {
    const clock = virtualClock();
    const memory = createBlobMemory({ clock });
    assert.equal(memory.pinned('me'), null);
    memory.pin('me', 'a');
    clock.tick(14 * 60_000);
    memory.pin('me', 'a');
    clock.tick(14 * 60_000);
    assert.equal(memory.pinned('me'), 'a');
    assert.equal(memory.pinned('you'), null);
    clock.tick(60_000);
    assert.equal(memory.pinned('me'), null);
  });

  it('is bounded: the oldest goes first', () => {
    const memory = createBlobMemory({ clock: virtualClock() });
    for (let i = 0; i <= 10_000; i += 1) {
      memory.remember(`d${i}`, 'a', hour);
      memory.pin(`c${i}`, 'a');
    }
    assert.deepEqual([memory.holders('d0'), memory.pinned('c0')], [[], null]);
    assert.deepEqual([memory.holders('d1'), memory.pinned('c1')], [['a'], 'a']);
  });
});
