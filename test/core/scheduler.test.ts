import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendSpec } from '../../src/core/backend.ts';
import { GatewayError, type FailureCode } from '../../src/core/errors.ts';
import { createPolicy } from '../../src/core/policies/choice.ts';
import { createScheduler, type Lease, type Scheduler, type SchedulerOptions } from '../../src/core/scheduler.ts';
import type { Outcome } from '../../src/core/types.ts';
import { backend, fleetOf, installed, job, type FleetBench } from '../support/build.ts';
import { seededRng } from '../support/random.ts';
import { settled } from '../support/virtual-clock.ts';

const done: Outcome = { kind: 'done', usage: {}, firstByteMs: null };
const idle = new AbortController().signal;

interface Bench extends FleetBench {
  readonly scheduler: Scheduler;
}

function bench(
  specs: readonly BackendSpec[],
  options: Partial<SchedulerOptions> = {},
  models: readonly string[] | null = ['tiny:latest'],
): Bench {
  const parts = fleetOf(specs, { models });
  const scheduler = createScheduler(
    { ...parts, policy: createPolicy('least-connections', seededRng(7)), emit: (event) => parts.events.push(event) },
    { limit: 100, timeout: 30_000, refuseEarly: true, waitForBackend: true, ...options },
  );
  return { ...parts, scheduler };
}

function failsWith(code: FailureCode): (error: unknown) => boolean {
  return (error) => error instanceof GatewayError && error.code === code;
}

/** What became of an acquire, looked at from outside. */
function watch(promise: Promise<Lease>): { lease(): Lease | null; error(): GatewayError | null } {
  let lease: Lease | null = null;
  let error: GatewayError | null = null;
  promise.then(
    (given) => (lease = given),
    (refusal: GatewayError) => (error = refusal),
  );
  return { lease: () => lease, error: () => error };
}

describe('scheduler', () => {
  it('gives a free slot at once, without setting a timer', async () => {
    const { scheduler, clock } = bench([backend('a')]);
    const lease = await scheduler.acquire(job(), [], idle);
    assert.equal(lease.backend, 'a');
    assert.equal(lease.reason, 'only');
    assert.equal(lease.queuedMs, 0);
    assert.equal(clock.timersSet, 0);
  });

  it('lets the next one go when a lease is released', async () => {
    const { scheduler, clock, fleet } = bench([backend('a', { slots: 1 })]);
    const first = await scheduler.acquire(job(), [], idle);
    const second = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(250);
    assert.equal(second.lease(), null);
    first.release(done);
    await settled();
    assert.equal(second.lease()?.queuedMs, 250);
    second.lease()?.release(done);
    assert.equal(fleet.view()[0]?.inFlight, 0);
    assert.equal(clock.pendingTimers, 0);
  });

  it('throws when a lease is released twice', async () => {
    const { scheduler } = bench([backend('a')]);
    const lease = await scheduler.acquire(job(), [], idle);
    lease.release(done);
    assert.throws(() => lease.release(done), /released once/);
  });

  it('gives up after the queue timeout, and not before', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { timeout: 500 });
    await scheduler.acquire(job(), [], idle);
    const waiting = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(499);
    assert.equal(waiting.error(), null);
    await clock.advance(1);
    assert.ok(failsWith('queue-timeout')(waiting.error()));
    assert.ok((waiting.error()?.retryAfterMs ?? 0) >= 1000);
  });

  it('counts what a job has waited before towards its timeout', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { timeout: 500 });
    await scheduler.acquire(job(), [], idle);
    const waiting = watch(scheduler.acquire(job(), [], idle, 400));
    await clock.advance(100);
    assert.ok(failsWith('queue-timeout')(waiting.error()));
  });

  it('refuses at once when the queue is full, with a time to come back', async () => {
    const { scheduler } = bench([backend('a', { slots: 1 })], { limit: 1 });
    await scheduler.acquire(job(), [], idle);
    scheduler.acquire(job(), [], idle).catch(() => undefined);
    await assert.rejects(scheduler.acquire(job(), [], idle), (error: GatewayError) => {
      return error.code === 'queue-full' && (error.retryAfterMs ?? 0) >= 1000;
    });
  });

  it('serves a job that fits a free slot although the queue is full of others', async () => {
    const { scheduler, fleet } = bench([backend('a', { slots: 1 }), backend('b', { slots: 1 })], { limit: 1 }, null);
    fleet.observe('a', { kind: 'inventory', models: [installed('tiny:latest')] });
    fleet.observe('b', { kind: 'inventory', models: [installed('other:latest')] });
    await scheduler.acquire(job(), [], idle);
    scheduler.acquire(job(), [], idle).catch(() => undefined);
    const lease = await scheduler.acquire(job({ model: 'other:latest' }), [], idle);
    assert.equal(lease.backend, 'b');
  });

  it('lets a client that leaves go at once, and frees its place', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { limit: 1 });
    await scheduler.acquire(job(), [], idle);
    const leaver = new AbortController();
    const waiting = watch(scheduler.acquire(job(), [], leaver.signal));
    leaver.abort();
    await settled();
    assert.ok(failsWith('client-gone')(waiting.error()));
    assert.equal(scheduler.view().waiting, 0);
    assert.equal(clock.pendingTimers, 0);
  });

  it('does not even queue a job whose client has left', async () => {
    const { scheduler } = bench([backend('a')]);
    await assert.rejects(scheduler.acquire(job(), [], AbortSignal.abort()), failsWith('client-gone'));
  });

  it('refuses a model that no backend has at once, also one that waits while the last inventory comes in', async () => {
    const { scheduler, fleet } = bench([backend('a')]);
    await assert.rejects(scheduler.acquire(job({ model: 'nope:latest' }), [], idle), failsWith('unknown-model'));
    fleet.set([backend('a'), backend('b')]);
    const waiting = watch(scheduler.acquire(job({ model: 'nope:latest' }), [], idle));
    await settled();
    assert.equal(waiting.error(), null);
    fleet.observe('b', { kind: 'inventory', models: [] });
    await settled();
    assert.ok(failsWith('unknown-model')(waiting.error()));
  });

  it('waits for a backend to come back, and says no-backend when none does', async () => {
    const { scheduler, fleet, clock } = bench([backend('a')], { timeout: 10_000 });
    for (let probe = 0; probe < 3; probe += 1) fleet.observe('a', { kind: 'probe-failed', reason: 'refused' });
    const early = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(5000);
    const late = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(5000);
    assert.ok(failsWith('no-backend')(early.error()));
    fleet.observe('a', { kind: 'alive', version: '1.0.0' });
    fleet.observe('a', { kind: 'alive', version: '1.0.0' });
    await settled();
    assert.equal(late.lease()?.backend, 'a');
  });

  it('refuses at once while all are down when told not to wait', async () => {
    const { scheduler, fleet } = bench([backend('a')], { waitForBackend: false });
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    await assert.rejects(scheduler.acquire(job(), [], idle), failsWith('no-backend'));
  });

  it('never gives a job a backend it has tried', async () => {
    const { scheduler } = bench([backend('a'), backend('b')]);
    for (let time = 0; time < 20; time += 1) {
      const lease = await scheduler.acquire(job(), ['a'], idle);
      assert.equal(lease.backend, 'b');
      lease.release(done);
    }
    await assert.rejects(scheduler.acquire(job(), ['a', 'b'], idle), failsWith('no-backend'));
  });

  it('refuses who waits and who comes when it closes; leases still end', async () => {
    const { scheduler, fleet, clock } = bench([backend('a', { slots: 1 })]);
    const lease = await scheduler.acquire(job(), [], idle);
    const waiting = watch(scheduler.acquire(job(), [], idle));
    scheduler.close();
    await settled();
    assert.ok(failsWith('shutting-down')(waiting.error()));
    await assert.rejects(scheduler.acquire(job(), [], idle), failsWith('shutting-down'));
    lease.release(done);
    assert.equal(fleet.view()[0]?.inFlight, 0);
    assert.equal(clock.pendingTimers, 0);
  });
});
