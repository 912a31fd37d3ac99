import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/core/errors.ts';
import type { Client } from '../../src/core/grants.ts';
import { createQuotas, type Reservation } from '../../src/core/quota.ts';
import { builtInProfiles } from '../../src/core/profiles.ts';
import { expectedSpend, spentBy } from '../../src/core/spent.ts';

function client(bounds: { tokensPerMinute?: number; tokensPerDay?: number }): Client {
  return { id: 'key:one', grant: { ...builtInProfiles.plain, ...bounds } };
}

function attempt<T>(act: () => T): T | GatewayError {
  try {
    return act();
  } catch (error) {
    assert.ok(error instanceof GatewayError);
    return error;
  }
}

function refusal(act: () => unknown): GatewayError {
  const result = attempt(act);
  assert.ok(result instanceof GatewayError, 'it was let in');
  return result;
}

const MINUTE = 60_000;

describe('token quotas', () => {
  it('never let more be used in any minute than is granted, whatever is under way, and say truly when to come again', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ tokens: fc.integer({ min: 1, max: 60 }) }),
        fc.record({ settle: fc.nat(), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
        fc.record({ wait: fc.integer({ min: 1, max: 40_000 }) }),
      ),
      { size: 'max', maxLength: 80 },
    );
    fc.assert(
      fc.property(steps, (history) => {
        const quotas = createQuotas();
        const one = client({ tokensPerMinute: 100 });
        const open: { readonly reservation: Reservation; readonly tokens: number }[] = [];
        const used: { readonly at: number; readonly tokens: number }[] = [];
        let now = 0;
        for (const step of history) {
          if ('wait' in step) now += step.wait;
          else if ('settle' in step) {
            const [over] = open.splice(step.settle % Math.max(1, open.length), 1);
            if (over === undefined) continue;
            const tokens = Math.floor(over.tokens * step.share);
            over.reservation.settle(tokens, now);
            used.push({ at: now, tokens });
          } else {
            const reserved = attempt(() => quotas.reserve(one, step.tokens, now)!);
            if (!(reserved instanceof GatewayError)) open.push({ reservation: reserved, tokens: step.tokens });
            else if (open.length === 0) {
              // With nothing under way, it is let in after that time.
              now += reserved.retryAfterMs!;
              quotas.reserve(one, step.tokens, now)!.settle(0, now);
            }
          }
          const reserved = open.reduce((sum, { tokens }) => sum + tokens, 0);
          const lately = used.filter(({ at }) => at > now - MINUTE + 1000).reduce((sum, { tokens }) => sum + tokens, 0);
          assert.ok(reserved + lately <= 100);
        }
      }),
    );
  });

  it('give back what a request did not take', () => {
    const quotas = createQuotas();
    const one = client({ tokensPerMinute: 100 });
    const first = quotas.reserve(one, 90, 0)!;
    assert.equal(refusal(() => quotas.reserve(one, 20, 0)).code, 'tokens-per-minute');
    first.settle(10, 500);
    assert.equal(quotas.reserve(one, 20, 500)!.state.remaining, 70);
  });

  it('let in one that is larger than the bound, when nothing else is used', () => {
    const quotas = createQuotas();
    const one = client({ tokensPerMinute: 100 });
    quotas.reserve(one, 1000, 0)!.settle(1000, 0);
    const { retryAfterMs } = refusal(() => quotas.reserve(one, 1, 1000));
    assert.equal(retryAfterMs, 59_000);
    assert.notEqual(quotas.reserve(one, 1, 60_000), null);
  });

  it('keep a day apart from a minute', () => {
    const quotas = createQuotas();
    const one = client({ tokensPerMinute: 100, tokensPerDay: 150 });
    quotas.reserve(one, 100, 0)!.settle(100, 0);
    quotas.reserve(one, 50, 2 * MINUTE)!.settle(50, 2 * MINUTE);
    const error = refusal(() => quotas.reserve(one, 10, 4 * MINUTE));
    assert.equal(error.code, 'tokens-per-day');
    assert.equal(error.kind.status, 429);
    assert.deepEqual(quotas.state(one, 4 * MINUTE)?.remaining, 0);
    assert.notEqual(quotas.reserve(one, 10, 4 * MINUTE + error.retryAfterMs!), null);
  });

  it('count what is reserved when they say when to come again', () => {
    const quotas = createQuotas();
    const one = client({ tokensPerMinute: 100 });
    quotas.reserve(one, 50, 0)!.settle(50, 0);
    quotas.reserve(one, 50, 30_000);
    assert.equal(refusal(() => quotas.reserve(one, 50, 30_000)).retryAfterMs, 30_000);
  });

  it('bind only those who have a bound', () => {
    assert.equal(createQuotas().reserve(client({}), 1e9, 0), null);
    assert.equal(createQuotas().state(client({}), 0), null);
  });
});

describe('what a request counts for', () => {
  const served = { backend: 'a', firstByteMs: 5, outcome: 'ok', promptEstimate: 40, status: 200, usage: {} };

  it('is what its backend reported', () => {
    const usage = { promptTokens: 7, outputTokens: 3 };
    assert.deepEqual(spentBy({ ...served, usage }), usage);
    assert.deepEqual(spentBy({ ...served, outcome: 'client-gone', usage }), usage);
  });

  it('is the estimated prompt and what has passed of the answer, when it was not finished', () => {
    const seen = { promptTokens: 40, outputTokens: 3 };
    assert.deepEqual(spentBy({ ...served, outcome: 'client-gone', usage: { outputTokens: 3 } }), seen);
    assert.deepEqual(spentBy({ ...served, outcome: 'backend-lost', usage: { outputTokens: 3 } }), seen);
  });

  it('is nothing when no backend began to answer, or it refused', () => {
    const none = { promptTokens: 0, outputTokens: 0 };
    assert.deepEqual(spentBy({ ...served, outcome: 'queue-timeout', backend: null, status: 503 }), none);
    assert.deepEqual(spentBy({ ...served, outcome: 'backend-reset', firstByteMs: null, status: 502 }), none);
    assert.deepEqual(spentBy({ ...served, status: 400 }), none);
  });

  it('is expected to be the limit it states, or a usual answer; embeddings have no answer', () => {
    assert.equal(expectedSpend({ promptTokens: 10, maxOutputTokens: 20, task: 'chat' }), 30);
    assert.equal(expectedSpend({ promptTokens: 10, maxOutputTokens: null, task: 'chat' }), 522);
    assert.equal(expectedSpend({ promptTokens: 10, maxOutputTokens: null, task: 'embed' }), 10);
  });
});
