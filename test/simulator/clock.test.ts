import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { batchedClock, scaledClock } from '../../src/simulator/clock.ts';
import { virtualClock } from '../support/virtual-clock.ts';

describe('a batched clock', () => {
  it('runs every timer once, not before its time and at most a granule late, in order of time', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 60 }), (delays) => {
        const real = virtualClock();
        const clock = batchedClock(real, 4);
        const ran: { delay: number; at: number }[] = [];
        for (const delay of delays) clock.after(delay, () => ran.push({ delay, at: real.now() }));
        real.tick(600);
        assert.equal(ran.length, delays.length);
        assert.deepEqual(
          ran.map(({ delay }) => delay),
          delays.toSorted((a, b) => a - b),
        );
        assert.ok(ran.every(({ delay, at }) => at >= delay && at < delay + 4));
      }),
    );
  });

  it('needs one real timer a granule, however many are set', () => {
    const real = virtualClock();
    const clock = batchedClock(real, 10);
    let ran = 0;
    for (let i = 0; i < 1_000; i++) clock.after(i / 10, () => ran++);
    assert.equal(real.pendingTimers, 1);
    real.tick(100);
    assert.equal(ran, 1_000);
    assert.ok(real.timersSet <= 12, `${real.timersSet} timers`);
  });

  it('does not drift when each timer aims at its own time', () => {
    const real = virtualClock();
    const clock = batchedClock(real, 2);
    let steps = 0;
    const step = (): void => {
      steps++;
      clock.after((steps + 1) * 3.3 - clock.now(), step);
    };
    clock.after(3.3, step);
    real.tick(3_300 + 2);
    assert.equal(steps, 1_000);
  });

  it('forgets what is cancelled, and everything when it is stopped', () => {
    const real = virtualClock();
    const clock = batchedClock(real, 1);
    let ran = 0;
    clock.after(5, () => ran++).cancel();
    real.tick(10);
    clock.after(5, () => ran++);
    clock.stop();
    real.tick(10);
    clock.after(5, () => ran++);
    real.tick(10);
    assert.deepEqual([ran, real.pendingTimers], [0, 0]);
  });
});

describe('a scaled clock', () => {
  it('runs as many times as fast', () => {
    const real = virtualClock(50);
    const clock = scaledClock(real, 10);
    let at = -1;
    clock.after(100, () => {
      at = clock.now();
    });
    real.tick(9);
    assert.deepEqual([at, clock.now()], [-1, 90]);
    real.tick(1);
    assert.equal(at, 100);
  });
});
