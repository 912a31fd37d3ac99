/** What must hold of the core after every step, and when all is quiet. */
import assert from 'node:assert/strict';
import { job } from '../../test/support/build.ts';
import { machineOf } from './herd.ts';
import { models } from './steps.ts';
import type { World } from './world.ts';

/** Throws an AssertionError that says which promise was broken. */
export function checkInvariants(world: World): void {
  if (world.faults.length > 0) throw world.faults[0];
  checkLeases(world);
  checkQueue(world);
  checkLastBackend(world);
}

function checkLeases({ fleet, held, scheduler, travellers }: World): void {
  const seen = new Map<string, number>();
  let inFlight = 0;
  for (const view of fleet.view()) {
    const machine = machineOf(view.spec);
    seen.set(machine, (seen.get(machine) ?? 0) + view.inFlight);
    inFlight += view.inFlight;
  }
  for (const [machine, count] of held) assert.equal(seen.get(machine) ?? 0, count, `no lease of ${machine} is lost`);
  let running = 0;
  for (const traveller of travellers) if (traveller.running !== null) running += 1;
  assert.equal(inFlight, running, 'every slot that is taken has its attempt');
  assert.equal(scheduler.view().leases, running, 'and the scheduler counts the same');
}

function checkQueue({ clock, fleet, limit, policy, queued, scheduler, waiting }: World): void {
  assert.equal(scheduler.view().waiting, waiting.length, 'who has no answer waits, and nobody else');
  assert.equal(queued, waiting.length, 'who enters the queue is told to have left it, once');
  assert.ok(waiting.length <= limit, 'the queue has a bound');
  const now = clock.now();
  for (const { client, job: asked, tried, waiting: wait } of waiting) {
    assert.ok(!client.aborted, 'who leaves is let go at once');
    assert.ok(wait!.deadline > now || wait!.since === now, 'nobody waits longer than the timeout');
    if (policy === 'soonest') continue;
    const outlook = fleet.outlook(asked, tried);
    assert.notEqual(outlook, 'free', 'no slot is idle while a request that fits it waits');
    assert.ok(outlook === 'full' || outlook === 'no-backend', `nobody waits in vain (${outlook})`);
  }
}

/** However many backends are ejected, one that could serve a model is still asked when no other can. */
function checkLastBackend(world: World): void {
  const { clock, fleet, told } = world;
  const views = fleet.view().filter(({ id, spec }) => told.get(id)?.spec.url === spec.url);
  for (const model of models) {
    const capable = views.filter(
      ({ breaker, id, installed, state }) =>
        !told.get(id)!.isDraining &&
        breaker === 'closed' &&
        ['up', 'probation', 'ejected'].includes(state) &&
        (installed?.some(({ name }) => name === model) ?? true),
    );
    if (capable.length === 0) continue;
    const outlook = fleet.outlook(job({ id: 'asked', model }), []);
    assert.ok(outlook === 'free' || outlook === 'full', `a backend that can serve ${model} is left (${outlook})`);
    const isIdle = capable.some(({ id, inFlight }) => {
      const known = told.get(id)!;
      return inFlight < world.slotsOf(known) && clock.now() >= known.busyUntil;
    });
    if (isIdle && capable.every(({ state }) => state === 'ejected'))
      assert.equal(outlook, 'free', `the last backends that can serve ${model} are used although ejected`);
  }
}

/** After every request has had time to end. */
export function checkQuiescence({ clock, fleet, scheduler, travellers }: World): void {
  assert.equal(travellers.size, 0, 'every request ends');
  const { leases, nextTimeoutMs, waiting, waitingByModel } = scheduler.view();
  assert.deepEqual([leases, waiting, waitingByModel.size, nextTimeoutMs], [0, 0, 0, null], 'the gauges are at zero');
  for (const { id, inFlight, inFlightByModel } of fleet.view())
    assert.deepEqual([inFlight, inFlightByModel.size], [0, 0], `no slot of ${id} is taken`);
  scheduler.close();
  fleet.close();
  assert.equal(clock.pendingTimers, 0, 'no timer is left');
}
