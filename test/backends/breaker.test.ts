import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createBreaker, createBreakerClock } from '../../src/backends/breaker.ts';
import { settled } from '../support/virtual-clock.ts';

const options = { failureRatio: 0.5, minimumVerdicts: 5, window: 60_000, openFor: 60_000 };

function setUp(t: TestContext, more: Partial<typeof options> = {}) {
  const clock = createBreakerClock({ ...options, ...more });
  const changes: string[] = [];
  const breaker = createBreaker({ ...options, ...more }, clock, (to) => changes.push(to));
  t.after(() => {
    breaker.close();
    clock.close();
  });
  return { breaker, changes };
}

describe('the breaker', () => {
  it('opens when more than the ratio of enough verdicts is bad', async (t) => {
    const { breaker, changes } = setUp(t);
    for (const ok of [true, true, true, true, true, true, false, false, false]) breaker.verdict(ok);
    await settled();
    assert.equal(breaker.state, 'closed', '3 of 9');
    for (let bad = 0; bad < 4; bad += 1) breaker.verdict(false);
    await settled();
    assert.deepEqual([breaker.state, changes], ['open', ['open']]);
  });

  it('does not open before there are enough', async (t) => {
    const { breaker } = setUp(t);
    for (let bad = 0; bad < 4; bad += 1) breaker.verdict(false);
    await settled();
    assert.equal(breaker.state, 'closed');
  });

  it('closes by a good probe after its time, never by a request, and opens again by a bad one', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    const { breaker, changes } = setUp(t, { openFor: 5000 });
    const isHalfOpen = async () => {
      t.mock.timers.tick(5000);
      await settled();
      assert.equal(breaker.state, 'half-open');
    };
    for (let bad = 0; bad < 9; bad += 1) breaker.verdict(false);
    await settled();
    t.mock.timers.tick(4999);
    breaker.probed(true);
    assert.equal(breaker.state, 'open', 'too early');
    await isHalfOpen();
    breaker.verdict(true);
    assert.equal(breaker.state, 'half-open');
    breaker.probed(false);
    assert.equal(breaker.state, 'open');
    await isHalfOpen();
    breaker.probed(true);
    assert.deepEqual(changes, ['open', 'half-open', 'open', 'half-open', 'closed']);
  });
});
