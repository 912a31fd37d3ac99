import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendSpec, Wake } from '../../src/core/backend.ts';
import type { Event } from '../../src/core/events.ts';
import { createPolicy } from '../../src/core/policies/choice.ts';
import { createScheduler, type Lease, type Scheduler } from '../../src/core/scheduler.ts';
import type { SchedulerOptions } from '../../src/core/scheduler-options.ts';
import type { Outcome } from '../../src/core/types.ts';
import { createWakes } from '../../src/core/wake.ts';
import { backend, fleetOf, installed, job, type FleetBench } from '../support/build.ts';
import { seededRng } from '../support/random.ts';
import { settled } from '../support/virtual-clock.ts';

const done: Outcome = { kind: 'done', usage: {}, firstByteMs: null };
const never = new AbortController().signal;

const wake: Wake = { mac: 'a4:bb:6d:00:11:22', broadcast: '192.0.2.255', port: 9, wait: 60_000, backlog: 20_000 };
const sleeper = (id: string, rest: Partial<BackendSpec> = {}) => backend(id, { slots: 1, wake, ...rest });

interface Bench extends FleetBench {
  readonly scheduler: Scheduler;
  /** MAC addresses of the packets so far. */
  readonly packets: string[];
  /** Leases given so far, and errors, by the order of asking. */
  readonly given: (Lease | Error)[];
  ask(model?: string): Promise<void>;
  /** Its probes fail until it is down. */
  sleeps(id: string): void;
  answers(id: string): Promise<void>;
  /** What a probe that fails does: nothing changes, but everybody looks again. */
  lookAgain(id: string): Promise<void>;
  states(): string[];
}

function bench(
  specs: readonly BackendSpec[],
  { fails, ...options }: Partial<SchedulerOptions> & { fails?: true } = {},
): Bench {
  const parts = fleetOf(specs);
  const { clock, events, fleet } = parts;
  const emit = (event: Event) => void events.push(event);
  const packets: string[] = [];
  const send = async ({ mac }: Wake) => {
    packets.push(mac);
    if (fails) throw new Error('network is unreachable');
  };
  const scheduler = createScheduler(
    {
      ...parts,
      policy: createPolicy('least-connections', seededRng(7)),
      emit,
      wake: createWakes({ fleet, clock, emit, send }),
    },
    { limit: 100, timeout: 120_000, refuseEarly: true, ageing: 30_000, waitForBackend: false, ...options },
  );
  const given: (Lease | Error)[] = [];
  return {
    ...parts,
    scheduler,
    packets,
    given,
    async ask(model = 'tiny:latest') {
      scheduler.acquire(job({ model }), [], never).then(
        (lease) => given.push(lease),
        (error: Error) => given.push(error),
      );
      await settled();
    },
    sleeps(id) {
      for (let count = 0; count < 3; count += 1) fleet.observe(id, { kind: 'probe-failed', reason: 'timeout' });
    },
    async answers(id) {
      for (let count = 0; count < 2; count += 1) fleet.observe(id, { kind: 'alive', version: '0.33.0' });
      await settled();
    },
    async lookAgain(id) {
      fleet.observe(id, { kind: 'probe-failed', reason: 'timeout' });
      await settled();
    },
    states() {
      return events.flatMap((event) => (event.kind === 'backend-state' ? [`${event.backend} ${event.to}`] : []));
    },
  };
}

describe('a backend that sleeps', () => {
  it('is woken by a request that only it can serve, which waits for it and is served', async () => {
    const { answers, ask, clock, events, fleet, given, packets, scheduler, sleeps, states } = bench([sleeper('pc')]);
    sleeps('pc');
    assert.deepEqual(packets, [], 'nobody needs it');
    await ask();
    assert.deepEqual(packets, [wake.mac]);
    assert.equal(fleet.view()[0]!.state, 'waking');
    assert.deepEqual(
      events.filter(({ kind }) => kind === 'backend-woken'),
      [{ kind: 'backend-woken', backend: 'pc', model: 'tiny:latest', error: null }],
    );
    await clock.advance(40_000);
    assert.equal(scheduler.view().waiting, 1);
    await answers('pc');
    assert.equal((given[0] as Lease).backend, 'pc');
    assert.deepEqual(states(), ['pc down', 'pc waking', 'pc up']);
    (given[0] as Lease).release(done);
    assert.equal(clock.pendingTimers, 0);
  });

  it('gets a packet every five seconds while somebody waits, and no more than that', async () => {
    const { ask, clock, lookAgain, packets, sleeps } = bench([sleeper('pc')]);
    sleeps('pc');
    for (let count = 0; count < 10; count += 1) await ask();
    assert.equal(packets.length, 1);
    for (let second = 0; second < 11; second += 1) {
      await clock.advance(1000);
      await lookAgain('pc');
    }
    assert.equal(packets.length, 3);
  });

  it('that does not wake in time is down again, rests as long, and is then tried again', async () => {
    const { ask, clock, fleet, given, packets, sleeps } = bench([sleeper('pc')]);
    sleeps('pc');
    await ask();
    await clock.advance(wake.wait);
    assert.equal(fleet.view()[0]!.state, 'down');
    assert.match(String(given[0]), /no backend that could serve the request is up/);
    await ask();
    assert.match(String(given[1]), /no backend that could serve the request is up/);
    assert.equal(packets.length, 1);
    await clock.advance(wake.wait);
    await ask();
    assert.equal(packets.length, 2);
    assert.equal(given.length, 2);
  });

  it('keeps its requests no longer than the queue does', async () => {
    const { ask, clock, given, sleeps } = bench([sleeper('pc')], { timeout: 10_000 });
    sleeps('pc');
    await ask();
    await clock.advance(9999);
    assert.equal(given.length, 0);
    await clock.advance(1);
    assert.match(String(given[0]), /came back in time/);
  });

  it('sleeps on while another serves the model in good time', async () => {
    const { ask, clock, given, lookAgain, packets, sleeps } = bench([sleeper('pc'), backend('nas', { slots: 1 })]);
    sleeps('pc');
    await ask();
    await ask();
    await clock.advance(wake.backlog);
    await lookAgain('pc');
    assert.deepEqual(packets, []);
    await clock.advance(1);
    await lookAgain('pc');
    assert.deepEqual(packets, [wake.mac], 'the second has waited for too long');
    assert.equal(given.length, 1);
  });

  it('is woken at once for a wait that will be too long, and who waits for it is not refused', async () => {
    const { answers, ask, clock, given, packets, sleeps } = bench([sleeper('pc'), backend('nas', { slots: 1 })], {
      timeout: 50_000,
    });
    sleeps('pc');
    await ask();
    await clock.advance(60_000);
    (given[0] as Lease).release(done);
    await ask();
    assert.deepEqual(packets, []);
    await ask();
    assert.deepEqual(packets, [wake.mac], 'a slot is held for a minute');
    assert.equal(given.length, 2);
    await answers('pc');
    assert.equal((given[2] as Lease).backend, 'pc');
  });

  it('is one of several: the one that is known to have the model, of the lowest tier', async () => {
    const specs = ['new', 'far', 'near'].map((id) =>
      sleeper(id, { wake: { ...wake, mac: id }, ...(id === 'far' ? { tier: 2 } : {}) }),
    );
    const { ask, fleet, packets, sleeps } = bench([]);
    fleet.set(specs);
    for (const id of ['far', 'near']) fleet.observe(id, { kind: 'inventory', models: [installed('tiny:latest')] });
    for (const id of ['new', 'far', 'near']) sleeps(id);
    await ask();
    await ask('tiny:latest');
    assert.deepEqual(packets, ['near']);
    await ask('another:latest');
    assert.deepEqual(packets, ['near', 'new'], 'of that one nobody knows what it has');
  });

  it('sleeps on when it does not have the model, may not serve it, or is drained', async () => {
    const { ask, fleet, given, packets, sleeps } = bench([sleeper('pc'), sleeper('other', { models: ['only*'] })]);
    sleeps('pc');
    sleeps('other');
    await ask('unknown:latest');
    fleet.observe('pc', { kind: 'admin', state: 'draining' });
    await ask();
    assert.deepEqual(packets, []);
    assert.deepEqual(
      given.map((error) => (error as Error & { code: string }).code),
      ['unknown-model', 'no-backend'],
    );
  });

  it('that cannot be sent a packet is told of once', async () => {
    const { ask, clock, events, lookAgain, sleeps } = bench([sleeper('pc')], { fails: true });
    sleeps('pc');
    await ask();
    await clock.advance(6000);
    await lookAgain('pc');
    const told = events.flatMap((event) => (event.kind === 'backend-woken' ? [event.error] : []));
    assert.deepEqual(told, ['network is unreachable']);
  });
});
