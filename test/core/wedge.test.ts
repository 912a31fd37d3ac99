import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Event } from '../../src/core/events.ts';
import type { Observation } from '../../src/core/observation.ts';
import type { Lease } from '../../src/core/scheduler.ts';
import type { Job, Millis } from '../../src/core/types.ts';
import { createWedgeWatch, type WedgeOptions } from '../../src/core/wedge.ts';
import { job } from '../support/build.ts';
import { virtualClock } from '../support/virtual-clock.ts';

const minute = 60_000;

function bench(options: Partial<WedgeOptions> = {}) {
  const clock = virtualClock();
  const events: Event[] = [];
  const observed: Observation[] = [];
  const unloads: ((tookMs: Millis | null) => void)[] = [];
  const world = { isUp: true, hasOther: true };
  const watch = createWedgeWatch(
    {
      clock,
      emit: (event) => events.push(event),
      observe: (_id, observation) => observed.push(observation),
      isUp: () => world.isUp,
      hasOther: (_job, than) => than === 'a' && world.hasOther,
      unload: (_id, _model, ended) => unloads.push(ended),
    },
    { suspect: 0, after: 2 * minute, factor: 4, heal: true, ...options },
  );
  const lease = (warm = true, changes: Partial<Job> = {}): Lease =>
    watch.follow(job({ model: 'tiny:latest', ...changes }), {
      backend: 'a',
      warm,
      reason: 'warm',
      queuedMs: 0,
      firstByte: () => {},
      release: () => true,
    });
  const answer = (afterMs: Millis, warm = true) => {
    const one = lease(warm);
    clock.tick(afterMs);
    one.firstByte(afterMs);
    one.release(done);
  };
  const told = () => observed.map(({ kind }) => kind);
  return { clock, events, observed, unloads, watch, world, lease, answer, told };
}

const done = { kind: 'done', usage: {}, firstByteMs: 1 } as const;
const timeout = { kind: 'failed', failure: 'x', against: 'backend', committed: false } as const;

describe('the watch for wedged runners', () => {
  it('has those who wait in vain given up while another backend has the model, and not those who are answered', () => {
    for (const hasOther of [true, false]) {
      const { answer, clock, lease, told, world } = bench();
      world.hasOther = hasOther;
      answer(100);
      const given: string[] = [];
      const [early, late, over] = [lease(), lease(), lease()];
      early.whenHung!(() => given.push(`early after ${told().join()}`));
      late.whenHung!(() => given.push(`late after ${told().join()}`));
      over.whenHung!(() => given.push('over'));
      over.release(done);
      clock.tick(3 * minute);
      assert.deepEqual(given, hasOther ? ['early after wedged', 'late after wedged'] : []);
    }
  });

  it('takes a model that is silent for too long for wedged, and tells it once', () => {
    const { answer, clock, events, lease, observed } = bench();
    answer(100);
    lease();
    clock.tick(119_000);
    assert.equal(events.length, 0);
    lease();
    clock.tick(30_000);
    assert.equal(events.length, 1);
    const event = events[0]!;
    assert.ok(event.kind === 'runner-wedged' && event.silentMs >= 2 * minute && event.inFlight === 2);
    assert.equal(observed[0]?.kind, 'wedged');
    clock.tick(10 * minute);
    assert.equal(events.length, 1);
  });

  it('waits longer for a model that takes its time', () => {
    const { answer, clock, lease, told } = bench();
    answer(minute);
    lease();
    clock.tick(3.9 * minute);
    assert.deepEqual(told(), []);
    clock.tick(minute);
    assert.deepEqual(told(), ['wedged']);
  });

  it('waits twice as long for one that has never answered', () => {
    const { clock, lease, told } = bench();
    lease();
    clock.tick(3.9 * minute);
    assert.deepEqual(told(), []);
    clock.tick(minute);
    assert.deepEqual(told(), ['wedged']);
  });

  it('does not blame a model that may be loading, is answering, or is on a backend that is down', () => {
    const cold = bench();
    cold.answer(1);
    cold.lease(false);
    cold.lease();
    cold.clock.tick(60 * minute);
    assert.deepEqual(cold.told(), []);

    const reloading = bench();
    reloading.answer(1);
    reloading.lease(true, { runnerOptions: 'num_ctx=8192' });
    reloading.clock.tick(60 * minute);
    assert.deepEqual(reloading.told(), []);

    const answering = bench();
    const first = answering.lease();
    first.firstByte(1);
    answering.lease();
    answering.clock.tick(60 * minute);
    assert.deepEqual(answering.told(), []);
    first.release(done);
    answering.clock.tick(minute);
    assert.deepEqual(answering.told(), [], 'its silence counts from the end of the other answer');
    answering.clock.tick(2 * minute);
    assert.deepEqual(answering.told(), ['wedged']);

    const down = bench();
    down.world.isUp = false;
    down.answer(1);
    down.lease();
    down.clock.tick(60 * minute);
    assert.deepEqual(down.told(), []);
  });

  it('unloads it when the last request has left, and says when that is done', () => {
    const { answer, clock, lease, told, unloads } = bench();
    answer(1);
    const leases = [lease(), lease()];
    clock.tick(3 * minute);
    leases[0]!.release(timeout);
    assert.equal(unloads.length, 0);
    leases[1]!.release(timeout);
    assert.equal(unloads.length, 1);
    assert.deepEqual(told(), ['wedged']);
    unloads[0]!(50);
    assert.deepEqual(told(), ['wedged', 'unwedged']);
  });

  it('looks again at one that could not be unloaded', () => {
    const { answer, clock, lease, told, unloads } = bench();
    answer(1);
    const hanging = lease();
    clock.tick(3 * minute);
    hanging.release(timeout);
    unloads[0]!(null);
    lease();
    clock.tick(3 * minute);
    assert.deepEqual(told(), ['wedged', 'wedged']);
  });

  it('takes it back when the model answers after all', () => {
    const { answer, clock, lease, told, unloads } = bench();
    answer(1);
    const slow = lease();
    clock.tick(3 * minute);
    slow.firstByte(3 * minute);
    slow.release(done);
    assert.deepEqual(told(), ['wedged', 'unwedged']);
    assert.equal(unloads.length, 0);
  });

  it('leaves the model alone where it is not to heal, and watches nothing where it is off', () => {
    const told = bench({ heal: false });
    told.answer(1);
    const hanging = told.lease();
    told.clock.tick(3 * minute);
    hanging.release(timeout);
    assert.deepEqual([told.told(), told.unloads.length], [['wedged'], 0]);

    const off = bench({ after: 0 });
    off.lease();
    assert.equal(off.clock.pendingTimers, 0);
  });

  it('suspects a model that owes a stream its beginning, until it answers or owes nothing any more', () => {
    const { clock, lease, told } = bench({ suspect: 10_000 });
    const usual = lease(true, { streams: true });
    clock.tick(500);
    usual.firstByte(500);
    usual.release(done);
    const [slow, slower] = [lease(true, { streams: true }), lease(true, { streams: true })];
    clock.tick(9_000);
    assert.deepEqual(told(), []);
    clock.tick(3_000);
    assert.deepEqual(told(), ['suspected']);
    clock.tick(3_000);
    assert.deepEqual(told(), ['suspected'], 'it is told once');
    slow.firstByte(15_000);
    assert.deepEqual(told(), ['suspected', 'unsuspected']);
    slow.release(done);
    clock.tick(80_000);
    assert.deepEqual(
      told(),
      ['suspected', 'unsuspected', 'suspected'],
      'its silence counts from its last sign of life',
    );
    slower.release(timeout);
    assert.deepEqual(told(), ['suspected', 'unsuspected', 'suspected', 'unsuspected']);
  });

  it('suspects later what takes its time, and what has never answered', () => {
    const fresh = bench({ suspect: 10_000 });
    fresh.lease(true, { streams: true });
    fresh.clock.tick(19_000);
    assert.deepEqual(fresh.told(), []);
    fresh.clock.tick(3_000);
    assert.deepEqual(fresh.told(), ['suspected']);

    const slow = bench({ suspect: 10_000 });
    const usual = slow.lease(true, { streams: true });
    slow.clock.tick(10_000);
    usual.firstByte(10_000);
    usual.release(done);
    slow.lease(true, { streams: true });
    slow.clock.tick(39_000);
    assert.deepEqual(slow.told(), []);
    slow.clock.tick(3_000);
    assert.deepEqual(slow.told(), ['suspected']);
  });

  it('suspects nobody who may be writing an answer that comes whole', () => {
    const { answer, clock, lease, told } = bench({ suspect: 10_000 });
    answer(1);
    lease(true, { streams: true });
    lease(true, { streams: false });
    clock.tick(119_000);
    assert.deepEqual(told(), []);
    clock.tick(minute);
    assert.deepEqual(told(), ['wedged']);
  });

  it('takes who is suspected for wedged in the end', () => {
    const { answer, clock, lease, told, unloads } = bench({ suspect: 10_000 });
    answer(1);
    const hanging = lease(true, { streams: true });
    clock.tick(3 * minute);
    assert.deepEqual(told(), ['suspected', 'wedged']);
    hanging.release(timeout);
    unloads[0]!(50);
    assert.deepEqual(told(), ['suspected', 'wedged', 'unwedged']);
  });

  it('keeps no timer while nobody waits, nor when it is closed', () => {
    const { answer, clock, lease, watch } = bench();
    answer(1);
    clock.tick(minute);
    assert.equal(clock.pendingTimers, 0);
    lease();
    assert.equal(clock.pendingTimers, 1);
    watch.close();
    assert.equal(clock.pendingTimers, 0);
    lease();
    assert.equal(clock.pendingTimers, 0, 'nor for who comes after it was closed');
  });

  it('hands on what happens to a lease, as it is', () => {
    const { watch } = bench();
    const told: string[] = [];
    const inner: Lease = {
      backend: 'a',
      warm: true,
      reason: 'sticky',
      queuedMs: 7,
      firstByte: (ms) => void told.push(`first byte ${ms}`),
      release: ({ kind }) => told.push(`released ${kind}`) > 0,
    };
    const { firstByte, release, ...rest } = watch.follow(job(), inner);
    firstByte(12);
    assert.equal(release(done), true);
    assert.deepEqual(told, ['first byte 12', 'released done']);
    assert.deepEqual(
      { backend: rest.backend, warm: rest.warm, reason: rest.reason, queuedMs: rest.queuedMs },
      { backend: 'a', warm: true, reason: 'sticky', queuedMs: 7 },
    );
    assert.equal(watch.follow(job({ model: null }), inner), inner, 'without a model there is nothing to watch');
    assert.equal(watch.follow(job({ task: 'unload' }), inner), inner);
  });

  it('remembers how long a model may take for many quick answers, and not for ever', () => {
    const patient = (quickAnswers: number): boolean => {
      const { answer, clock, lease, told } = bench();
      answer(minute);
      for (let count = 0; count < quickAnswers; count += 1) answer(1);
      lease();
      clock.tick(3 * minute);
      return told().length === 0;
    };
    assert.deepEqual([patient(1), patient(4), patient(40)], [true, true, false]);
  });

  it('goes on suspecting it when one that waited has failed, and stops when one was answered', () => {
    for (const [outcome, last] of [
      [timeout, 'suspected'],
      [done, 'unsuspected'],
    ] as const) {
      const { answer, clock, lease, told } = bench({ suspect: 10_000 });
      const streams = { streams: true };
      const quick = lease(true, streams);
      quick.firstByte(1);
      quick.release(done);
      answer(1);
      const [one] = [lease(true, streams), lease(true, streams)];
      clock.tick(30_000);
      assert.equal(told().at(-1), 'suspected');
      one.release(outcome);
      assert.equal(told().at(-1), last);
    }
  });
});
