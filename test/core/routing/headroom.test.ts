import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Queue, type Waiter } from '../../../src/core/queue.ts';
import { Headroom } from '../../../src/core/routing/headroom.ts';
import type { Job } from '../../../src/core/types.ts';
import { job } from '../../support/build.ts';

describe('headroom', () => {
  it('keeps the last slots free for a time, and no longer', () => {
    const headroom = new Headroom(1 / 16);
    const room = { slots: 16, free: 1 };
    assert.equal(headroom.keptUntil('m', room, 1000), 2200);
    assert.equal(headroom.keptUntil('m', room, 2199), 2200);
    assert.equal(headroom.keptUntil('m', room, 2200), null, 'nobody has come for it');
    assert.equal(headroom.keptUntil('m', { ...room, free: 0 }, 3600), null);
    assert.equal(headroom.keptUntil('m', room, 4000), 5200, 'another has come free');
  });

  it('keeps none while more are free, where there are few, or when it is told to keep none', () => {
    assert.equal(new Headroom(1 / 16).keptUntil('m', { slots: 16, free: 2 }, 0), null);
    assert.equal(new Headroom(1 / 16).keptUntil('m', { slots: 15, free: 1 }, 0), null);
    assert.equal(new Headroom(0).keptUntil('m', { slots: 64, free: 1 }, 0), null);
  });
});

describe('whoever yields a free slot', () => {
  function queueWith(jobs: readonly Partial<Job>[], running: readonly Partial<Job>[], at = 0): Queue<Waiter> {
    const queue = new Queue<Waiter>();
    queue.setByRunner(true);
    queue.setNow(at);
    for (const one of running) queue.admit(job(one));
    for (const one of jobs) queue.push({ job: job(one), tried: [], since: at, deadline: Infinity });
    return queue;
  }

  const fifteen = Array.from({ length: 15 }, () => ({ client: 'heavy' }));

  it('has most of the slots, while somebody else came lately', () => {
    const queue = queueWith([{ client: 'heavy' }], [{ client: 'light' }, ...fifteen]);
    const [waiter] = queue;
    assert.ok(queue.yields(waiter!));
    queue.setNow(60_000);
    assert.ok(!queue.yields(waiter!), 'that was a minute ago');
  });

  it('is nobody while all want as much, or nobody else comes', () => {
    const equal = Array.from({ length: 16 }, (_, index) => ({ client: index % 2 === 0 ? 'a' : 'b' }));
    const even = queueWith([{ client: 'a' }, { client: 'b' }], equal);
    for (const waiter of even) assert.ok(!even.yields(waiter));
    const alone = queueWith([{ client: 'heavy' }], fifteen);
    for (const waiter of alone) assert.ok(!alone.yields(waiter));
  });

  it('is whoever waits in a band behind one that somebody came to lately, whatever it has', () => {
    const queue = queueWith(
      [
        { client: 'night', priority: 2 },
        { client: 'chat', priority: 0 },
      ],
      [{ client: 'chat', priority: 0 }],
    );
    assert.deepEqual(
      [...queue].map((waiter) => queue.yields(waiter)),
      [true, false],
    );
  });
});
