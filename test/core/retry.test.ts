import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { failures } from '../../src/core/errors.ts';
import {
  attemptFailures,
  createRetry,
  failureOutcome,
  isLethal,
  isShared,
  isUnsent,
  type AttemptFailure,
  type FailedAttempt,
  type FailureRule,
  type Retry,
  type RetryOptions,
} from '../../src/core/retry.ts';
import { seededRng } from '../support/random.ts';

const defaults: RetryOptions = {
  backends: 2,
  budget: 0.2,
  budgetFloor: 3,
  budgetWindow: 10_000,
  backoff: 50,
  backoffLimit: 2000,
};

const all = Object.keys(attemptFailures) as AttemptFailure[];
const elsewhere = all.filter((failure) => attemptFailures[failure].elsewhere);

function retry(options: Partial<RetryOptions> = {}, seed = 1): Retry {
  return createRetry({ rng: seededRng(seed) }, { ...defaults, ...options });
}

function attempt(rest: Partial<FailedAttempt> = {}): FailedAttempt {
  return {
    failure: 'backend-reset',
    committed: false,
    repeatable: true,
    tried: 1,
    remainingMs: Infinity,
    retryAfterMs: null,
    ...rest,
  };
}

describe('retry', () => {
  it('goes to another backend at once after a first failure that another may not repeat', () => {
    for (const failure of elsewhere)
      assert.deepEqual(retry().decide(attempt({ failure }), 0), { retry: true, delayMs: 0 }, failure);
  });

  it('never happens for what another backend would answer the same, nor after the first byte', () => {
    const final = all.filter((failure) => !elsewhere.includes(failure));
    assert.deepEqual(final, [
      'backend-cold-timeout',
      'client-mistake',
      'backend-lost',
      'backend-truncated',
      'backend-idle-timeout',
      'overloaded',
      'total-timeout',
    ]);
    for (const failure of final)
      assert.deepEqual(retry().decide(attempt({ failure }), 0), { retry: false, why: 'final' });
    for (const failure of all) {
      assert.deepEqual(retry().decide(attempt({ failure, committed: true }), 0), { retry: false, why: 'committed' });
    }
  });

  it('never repeats what has an effect', () => {
    assert.deepEqual(retry().decide(attempt({ repeatable: false }), 0), { retry: false, why: 'not-repeatable' });
  });

  it('tries two different backends at most, or as many as it is told', () => {
    assert.deepEqual(retry().decide(attempt({ tried: 2 }), 0), { retry: false, why: 'attempts' });
    assert.equal(retry({ backends: 3 }).decide(attempt({ tried: 2 }), 0).retry, true);
    assert.deepEqual(retry({ backends: 1 }).decide(attempt(), 0), { retry: false, why: 'attempts' });
  });

  it('pauses before later retries for any time up to a growing limit', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), fc.integer(), (tried, seed) => {
        const decision = retry({ backends: 99 }, seed).decide(attempt({ tried }), 0);
        assert.ok(decision.retry);
        assert.ok(decision.delayMs >= 0 && decision.delayMs <= Math.min(2000, 50 * 2 ** (tried - 1)));
      }),
    );
    for (const [tried, longest] of [
      [2, 100],
      [3, 200],
      [9, 2000],
    ] as const) {
      const delays = Array.from({ length: 300 }, (_, seed) => {
        const decision = retry({ backends: 99 }, seed).decide(attempt({ tried }), 0);
        return decision.retry ? decision.delayMs : -1;
      });
      assert.ok(Math.min(...delays) < 0.1 * longest && Math.max(...delays) > 0.9 * longest, 'full jitter');
    }
  });

  it('never outlasts the request', () => {
    assert.deepEqual(retry().decide(attempt({ remainingMs: 0 }), 0), { retry: false, why: 'deadline' });
    assert.equal(retry().decide(attempt({ remainingMs: 1 }), 0).retry, true);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), fc.integer(), (remainingMs, seed) => {
        const decision = retry({ backends: 99 }, seed).decide(attempt({ tried: 8, remainingMs }), 0);
        if (decision.retry) assert.ok(decision.delayMs < remainingMs);
      }),
    );
  });

  it('has a floor of three in ten seconds, and a fifth of the requests above it', () => {
    const some = retry();
    const granted = (now: number): number =>
      Array.from({ length: 50 }, () => some.decide(attempt(), now)).filter((each) => each.retry).length;
    assert.equal(granted(0), 3);
    assert.deepEqual(some.decide(attempt(), 0), { retry: false, why: 'budget' });
    assert.equal(granted(9999), 0);
    assert.equal(granted(10_000), 3);
    for (let request = 0; request < 100; request += 1) some.arrived(10_500);
    assert.equal(granted(10_500), 17);
    assert.equal(granted(60_000), 3);
    assert.equal(retry({ budgetFloor: 0 }).decide(attempt(), 0).retry, false);
  });

  it('costs nothing when it is refused for another reason', () => {
    const some = retry();
    for (let time = 0; time < 50; time += 1) some.decide(attempt({ committed: true }), 0);
    for (let time = 0; time < 50; time += 1) some.decide(attempt({ tried: 2 }), 0);
    assert.equal(some.decide(attempt(), 0).retry, true);
  });

  it('keeps to its budget over any history', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 3000 }),
      requests: fc.nat({ max: 20 }),
      failures: fc.nat({ max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 60 }), (steps) => {
        const some = retry();
        const requests: number[] = [];
        const retries: number[] = [];
        let now = 0;
        for (const { wait, requests: coming, failures: failing } of steps) {
          now += wait;
          for (let request = 0; request < coming; request += 1) {
            some.arrived(now);
            requests.push(now);
          }
          // The window is counted in tenths: it is between nine and ten of them long.
          const within = (times: readonly number[], ms: number): number =>
            times.filter((time) => time > now - ms).length;
          for (let failure = 0; failure < failing; failure += 1) {
            const granted = some.decide(attempt(), now).retry;
            if (granted) retries.push(now);
            if (granted) assert.ok(within(retries, 9000) <= Math.max(3, 0.2 * within(requests, 10_000)), `at ${now}`);
            else assert.ok(within(retries, 10_000) + 1 > Math.max(3, 0.2 * within(requests, 9000)), `at ${now}`);
          }
        }
      }),
    );
  });
});

describe('attempt failures', () => {
  it('speak against whom the matrix says', () => {
    const against = (wanted: FailureRule['against']): readonly string[] =>
      all.filter((failure) => (attemptFailures[failure] as FailureRule).against === wanted);
    assert.deepEqual(against('model'), ['runner-failed']);
    assert.deepEqual(against('busy'), ['backend-busy']);
    assert.deepEqual(against(null), [
      'backend-cold-timeout',
      'runner-hung',
      'model-missing',
      'route-missing',
      'cloud-unavailable',
      'rate-limited',
      'client-mistake',
      'overloaded',
      'total-timeout',
    ]);
  });

  it('become the outcome their lease is released with', () => {
    assert.deepEqual(failureOutcome('backend-reset', false), {
      kind: 'failed',
      failure: 'backend-reset',
      against: 'backend',
      committed: false,
    });
    assert.deepEqual(failureOutcome('runner-failed', true), {
      kind: 'failed',
      failure: 'runner-failed',
      against: 'model',
      committed: true,
    });
    assert.deepEqual(failureOutcome('backend-busy', false), { kind: 'busy' });
    assert.deepEqual(failureOutcome('client-mistake', false), { kind: 'neutral', reason: 'client-mistake' });
  });

  it('are lethal when the request itself may have broken what it ran on', () => {
    assert.deepEqual(all.filter(isLethal), ['backend-reset', 'runner-failed', 'backend-lost']);
  });

  it('are shared when they strike all that runs on a backend', () => {
    assert.deepEqual(all.filter(isShared), ['backend-refused', 'backend-reset', 'backend-lost']);
    assert.equal(isShared('client-gone') || isLethal('client-gone') || isShared('toString'), false);
  });

  it('share their budget with streams that are gone on with', () => {
    const one = retry({ budget: 0, budgetFloor: 1 });
    assert.equal(one.spend(0), true);
    assert.equal(one.spend(0), false);
    assert.deepEqual(one.decide(attempt({ failure: 'backend-reset' }), 0), { retry: false, why: 'budget' });
  });

  it('cost nothing when nothing was sent', () => {
    assert.deepEqual(all.filter(isUnsent), ['backend-refused']);
    const poor = retry({ budget: 0, budgetFloor: 0 });
    assert.deepEqual(poor.decide(attempt({ failure: 'backend-reset' }), 0), { retry: false, why: 'budget' });
    assert.equal(poor.decide(attempt({ failure: 'backend-refused' }), 0).retry, true);
    assert.deepEqual(poor.decide(attempt({ failure: 'backend-refused', tried: 2 }), 0), {
      retry: false,
      why: 'attempts',
    });
  });

  it('have an answer in the table of failures, or pass the backend’s own', () => {
    for (const failure of all) {
      const { code }: FailureRule = attemptFailures[failure];
      if (code !== null) assert.ok(code in failures, failure);
    }
  });
});
