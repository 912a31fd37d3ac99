import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import type { BackendSpec } from '../../src/core/backend.ts';
import { GatewayError, type FailureCode } from '../../src/core/errors.ts';
import type { Arrival, Dispatch, FleetReader, Placement, Planner } from '../../src/core/planner.ts';
import { createPolicy } from '../../src/core/policies/choice.ts';
import type { Waiter, WaitingJobs } from '../../src/core/queue.ts';
import { createScheduler, type Lease, type Scheduler } from '../../src/core/scheduler.ts';
import type { SchedulerOptions } from '../../src/core/scheduler-options.ts';
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
    { limit: 100, timeout: 30_000, refuseEarly: true, ageing: 30_000, waitForBackend: true, ...options },
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

  for (const [when, joinsLate] of [
    ['before they came', true],
    ['while they waited', false],
  ] as const) {
    it(`does not take the time when none could be used, since ${when}, for the pace of the queue`, async () => {
      const { scheduler, fleet, clock } = bench([backend('a', { slots: 1 })], { timeout: 60_000 });
      const earlier = await scheduler.acquire(job(), [], idle);
      if (joinsLate) fleet.observe('a', { kind: 'admin', state: 'draining' });
      const waiting = [0, 1, 2].map(() => watch(scheduler.acquire(job(), [], idle)));
      if (!joinsLate) fleet.observe('a', { kind: 'admin', state: 'draining' });
      earlier.release({ kind: 'neutral', reason: 'test' });
      await clock.advance(50_000);
      fleet.observe('a', { kind: 'admin', state: 'active' });
      await settled();
      assert.equal(waiting[0]?.lease()?.backend, 'a');
      const late = watch(scheduler.acquire(job(), [], idle));
      await settled();
      assert.equal(late.error(), null);
    });
  }

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

  it('puts a job that comes back after a failed attempt before those that came later', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 }), backend('b', { slots: 1 })]);
    const [first] = [await scheduler.acquire(job(), [], idle), await scheduler.acquire(job(), [], idle)];
    await clock.advance(5000);
    const fresh = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(1000);
    const returning = watch(scheduler.acquire(job(), [first.backend === 'a' ? 'b' : 'a'], idle, 4000));
    await clock.advance(500);
    first.release(done);
    await settled();
    assert.equal(returning.lease()?.queuedMs, 500);
    assert.equal(fresh.lease(), null);
  });

  it('serves lanes by who has waited longest, not by which lane is older', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], {}, ['x:latest', 'y:latest']);
    const running = await scheduler.acquire(job({ model: 'x:latest' }), [], idle);
    const leaver = new AbortController();
    watch(scheduler.acquire(job({ model: 'x:latest' }), [], leaver.signal));
    await clock.advance(10);
    const y = watch(scheduler.acquire(job({ model: 'y:latest' }), [], idle));
    await clock.advance(10);
    const x = watch(scheduler.acquire(job({ model: 'x:latest' }), [], idle));
    leaver.abort();
    running.release(done);
    await settled();
    assert.ok(y.lease() !== null && x.lease() === null);
    await clock.advance(10);
    const later = watch(scheduler.acquire(job({ model: 'y:latest' }), [], idle));
    y.lease()?.release(done);
    await settled();
    assert.ok(x.lease() !== null && later.lease() === null);
  });

  it('refuses a job at once whose wait would outlast the timeout, and says how long the wait would be', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { timeout: 25_000 });
    const served = await scheduler.acquire(job(), [], idle);
    await clock.advance(10_000);
    served.release(done);
    await scheduler.acquire(job(), [], idle);
    const waiting = [1, 2].map(() => watch(scheduler.acquire(job(), [], idle)));
    await assert.rejects(scheduler.acquire(job(), [], idle), (error: GatewayError) => {
      assert.equal(error.code, 'queue-full');
      assert.match(error.message, /about 30 s/);
      return error.retryAfterMs === 30_000;
    });
    await settled();
    for (const each of waiting) assert.equal(each.error(), null);
  });

  it('lets a job wait in vain when told not to refuse early', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { timeout: 5000, refuseEarly: false });
    const served = await scheduler.acquire(job(), [], idle);
    await clock.advance(10_000);
    served.release(done);
    await scheduler.acquire(job(), [], idle);
    const waiting = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(4999);
    assert.equal(waiting.error(), null);
    await clock.advance(1);
    assert.ok(failsWith('queue-timeout')(waiting.error()));
    assert.equal(waiting.error()?.retryAfterMs, 10_000);
  });

  it('refuses who waits when the last backend goes down and it is told not to wait for one', async () => {
    const { scheduler } = bench([backend('a', { slots: 1 })], { waitForBackend: false });
    const lease = await scheduler.acquire(job(), [], idle);
    const waiting = watch(scheduler.acquire(job(), [], idle));
    lease.release({ kind: 'failed', failure: 'backend-refused', against: 'backend', committed: false });
    await settled();
    assert.ok(failsWith('no-backend')(waiting.error()));
  });

  it('tells the fleet of the first byte, which ends a trial', async () => {
    const { scheduler, fleet, clock } = bench([backend('a'), backend('b')]);
    for (let time = 0; time < 3; time += 1) {
      const lease = await scheduler.acquire(job(), ['b'], idle);
      lease.release({ kind: 'failed', failure: 'backend-reset', against: 'backend', committed: false });
    }
    await clock.advance(6250);
    const trial = await scheduler.acquire(job(), ['b'], idle);
    assert.equal(fleet.view()[0]?.state, 'probation');
    trial.firstByte(40);
    assert.equal(fleet.view()[0]?.state, 'up');
    trial.release(done);
    trial.firstByte(50);
  });

  it('listens to a client only while its job waits, and to the fleet only until it is closed', async () => {
    const { fleet, clock, events } = fleetOf([backend('a', { slots: 1 })]);
    let listening = 0;
    const subscribe = fleet.subscribe.bind(fleet);
    fleet.subscribe = (listener) => {
      const stop = subscribe(listener);
      listening += 1;
      return () => {
        listening -= 1;
        stop();
      };
    };
    const scheduler = createScheduler(
      { fleet, clock, policy: createPolicy('random', seededRng(1)), emit: (event) => void events.push(event) },
      { limit: 10, timeout: 1000, refuseEarly: true, ageing: 30_000, waitForBackend: true },
    );
    const lease = await scheduler.acquire(job(), [], idle);
    const clients = [new AbortController(), new AbortController(), new AbortController()];
    const [served, timedOut, shut] = clients.map(({ signal }) => watch(scheduler.acquire(job(), [], signal)));
    const listeners = (): number[] => clients.map(({ signal }) => getEventListeners(signal, 'abort').length);
    assert.deepEqual(listeners(), [1, 1, 1]);
    lease.release(done);
    await settled();
    assert.deepEqual(listeners(), [0, 1, 1]);
    await clock.advance(500);
    watch(scheduler.acquire(job(), [], clients[0]!.signal));
    await clock.advance(500);
    assert.ok(failsWith('queue-timeout')(timedOut!.error()) && failsWith('queue-timeout')(shut!.error()));
    assert.deepEqual(listeners(), [1, 0, 0]);
    assert.equal(listening, 1);
    scheduler.close();
    scheduler.close();
    assert.deepEqual(listeners(), [0, 0, 0]);
    assert.equal(listening, 0);
    served!.lease()?.release(done);
  });

  it('applies new options to who waits: a lower limit at once, a new timeout to who comes next', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { timeout: 1000 });
    await scheduler.acquire(job(), [], idle);
    const [first, second, third] = [1, 2, 3].map(() => watch(scheduler.acquire(job(), [], idle)));
    scheduler.setOptions({ limit: 2, timeout: 5000, refuseEarly: false, ageing: 30_000, waitForBackend: true });
    await settled();
    assert.ok(failsWith('queue-full')(third!.error()));
    assert.equal(first!.error(), null);
    await clock.advance(1000);
    assert.ok(failsWith('queue-timeout')(second!.error()));
    const late = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(4999);
    assert.equal(late.error(), null);
    await clock.advance(1);
    assert.ok(failsWith('queue-timeout')(late.error()));
  });

  it('applies a new rule about waiting for a backend to who waits already', async () => {
    const { scheduler, fleet } = bench([backend('a')]);
    fleet.observe('a', { kind: 'admin', state: 'draining' });
    const waiting = watch(scheduler.acquire(job(), [], idle));
    scheduler.setOptions({ limit: 2, timeout: 5000, refuseEarly: true, ageing: 30_000, waitForBackend: false });
    await settled();
    assert.ok(failsWith('no-backend')(waiting.error()));
  });

  it('tells when a job enters and leaves the queue, and says nothing of one that need not wait', async () => {
    const { scheduler, clock, events } = bench([backend('a', { slots: 1 })], { timeout: 1000 });
    const lease = await scheduler.acquire(job(), [], idle);
    assert.deepEqual(events, []);
    watch(scheduler.acquire(job(), [], idle));
    watch(scheduler.acquire(job(), [], idle, 400));
    await clock.advance(250);
    lease.release(done);
    await clock.advance(750);
    assert.deepEqual(events, [
      { kind: 'queued', model: 'tiny:latest', depth: 1 },
      { kind: 'queued', model: 'tiny:latest', depth: 2 },
      { kind: 'dequeued', model: 'tiny:latest', waitedMs: 250, how: 'leased' },
      { kind: 'dequeued', model: 'tiny:latest', waitedMs: 600, how: 'timeout' },
    ]);
  });
});

describe('clients that share a queue', () => {
  const flooded = { limit: 10, timeout: 30_000 };

  it('lose their own newest when the queue is full of theirs, and not those of others', async () => {
    const { scheduler } = bench([backend('a', { slots: 1 })], flooded);
    const { signal } = new AbortController();
    await scheduler.acquire(job({ client: 'flood' }), [], signal);
    const refused: string[] = [];
    const ask = (id: string, client: string): void => {
      scheduler
        .acquire(job({ id, client }), [], signal)
        .catch((error: GatewayError) => refused.push(`${id} ${error.code}`));
    };
    for (let count = 0; count < 10; count += 1) ask(`flood-${count}`, 'flood');
    ask('light-0', 'light');
    ask('light-1', 'light');
    await settled();
    assert.deepEqual(refused, ['flood-9 queue-full', 'flood-8 queue-full']);
    scheduler.close();
  });

  it('are told when they have as many waiting as they are granted', async () => {
    const { scheduler } = bench([backend('a', { slots: 1 })], flooded);
    const { signal } = new AbortController();
    const mine = { client: 'mine', share: { weight: 1, queued: 1 } };
    await scheduler.acquire(job(mine), [], signal);
    const waits = scheduler.acquire(job(mine), [], signal);
    waits.catch(() => {});
    await assert.rejects(scheduler.acquire(job(mine), [], signal), failsWith('too-many-waiting'));
    scheduler.close();
  });

  it('are not refused for the length of a queue that others made', async () => {
    const { scheduler, clock } = bench([backend('a', { slots: 1 })], { limit: 100, timeout: 30_000 });
    const { signal } = new AbortController();
    let lease = await scheduler.acquire(job({ client: 'flood' }), [], signal);
    const refused: string[] = [];
    const leases: Lease[] = [];
    const ask = (client: string): void => {
      scheduler.acquire(job({ client }), [], signal).then(
        (one) => void leases.push(one),
        (error: GatewayError) => void refused.push(`${client} ${error.code}`),
      );
    };
    ask('flood');
    await clock.advance(4000);
    lease.release({ kind: 'done', usage: {}, firstByteMs: 1 });
    await settled();
    lease = leases.pop()!;
    for (let count = 0; count < 20; count += 1) ask('flood');
    await clock.advance(4000);
    lease.release({ kind: 'done', usage: {}, firstByteMs: 1 });
    ask('flood');
    ask('light');
    await settled();
    assert.ok(refused.includes('flood queue-full'), 'it would wait for a minute and more');
    assert.ok(!refused.some((one) => one.startsWith('light')));
    scheduler.close();
  });

  it('get the lease they waited for when one of their own ends, when they may have no more', async () => {
    const { scheduler } = bench([backend('a', { slots: 4 })], flooded);
    const { signal } = new AbortController();
    const mine = { client: 'mine', share: { weight: 1, concurrency: 1 } };
    const first = await scheduler.acquire(job(mine), [], signal);
    let second: Lease | null = null;
    void scheduler.acquire(job(mine), [], signal).then((lease) => (second = lease));
    const other = await scheduler.acquire(job({ client: 'other' }), [], signal);
    await settled();
    assert.equal(second, null);
    first.release({ kind: 'done', usage: {}, firstByteMs: 1 });
    await settled();
    assert.notEqual(second, null);
    (second as Lease | null)?.release({ kind: 'done', usage: {}, firstByteMs: 1 });
    other.release({ kind: 'done', usage: {}, firstByteMs: 1 });
    scheduler.close();
  });
});

describe('scheduler and planner', () => {
  /** Holds everything until told, then lets the last of the queue go first. */
  class Holder implements Planner {
    holds = true;
    placed = 0;
    wakes: number | null = null;

    place(_arrival: Arrival, fleet: FleetReader): Placement | null {
      this.placed += 1;
      return this.holds ? null : { backend: fleet.view()[0]!.id, reason: 'warm' };
    }

    next<W extends Waiter>(waiting: WaitingJobs<W>, fleet: FleetReader): Dispatch<W> | null {
      if (this.holds) return null;
      const last = [...waiting.lanes].flatMap((lane) => [...lane]).at(-1);
      const eligibility = last === undefined ? null : fleet.eligible(last.job, last.tried);
      if (last === undefined || eligibility?.kind !== 'candidates') return null;
      return { waiter: last, backend: eligibility.candidates[0].id, reason: 'sticky' };
    }

    wakeAt(): number | null {
      return this.wakes;
    }
  }

  function held(): Bench & { planner: Holder } {
    const parts = fleetOf([backend('a', { slots: 1 })]);
    const planner = new Holder();
    const scheduler = createScheduler(
      { ...parts, policy: planner, emit: (event) => parts.events.push(event) },
      { limit: 100, timeout: 30_000, refuseEarly: true, ageing: 30_000, waitForBackend: true },
    );
    return { ...parts, scheduler, planner };
  }

  it('holds a job back although a slot is free when the planner says so, and asks again at the next event', async () => {
    const { scheduler, planner, fleet } = held();
    const first = watch(scheduler.acquire(job(), [], idle));
    const second = watch(scheduler.acquire(job(), [], idle));
    await settled();
    assert.equal(first.lease() ?? second.lease(), null);
    assert.equal(planner.placed, 1, 'a job that finds others waiting is not placed past them');
    planner.holds = false;
    fleet.observe('a', { kind: 'alive', version: '0.33.0' });
    await settled();
    assert.equal(second.lease()?.reason, 'sticky');
    assert.equal(first.lease(), null);
  });

  it('asks again when the planner wished to be woken, also before the first deadline only', async () => {
    const { scheduler, planner, clock } = held();
    planner.wakes = 700;
    const waiting = watch(scheduler.acquire(job(), [], idle));
    planner.holds = false;
    await clock.advance(699);
    assert.equal(waiting.lease(), null);
    await clock.advance(1);
    assert.equal(waiting.lease()?.queuedMs, 700);
  });

  it('still times out a job that the planner holds for ever', async () => {
    const { scheduler, planner, clock } = held();
    planner.wakes = 1e9;
    const waiting = watch(scheduler.acquire(job(), [], idle));
    await clock.advance(30_000);
    assert.ok(failsWith('queue-timeout')(waiting.error()));
  });

  it('asks a new policy about those that wait, at once', async () => {
    const { scheduler } = held();
    const waiting = watch(scheduler.acquire(job(), [], idle));
    scheduler.setPolicy(createPolicy('random', seededRng(1)));
    await settled();
    assert.equal(waiting.lease()?.reason, 'only');
  });
});
