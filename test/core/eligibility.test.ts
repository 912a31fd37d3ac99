/** Four ways to ask who may serve a job; they agree. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { Fleet } from '../../src/core/fleet.ts';
import type { Outcome } from '../../src/core/types.ts';
import { backend, fleetOf, installed, job } from '../support/build.ts';

const ids = ['a', 'b', 'c'];
const models = ['m:latest', 'n:latest'];

const failures = fc.constantFrom<Outcome>(
  { kind: 'failed', failure: 'backend-reset', against: 'backend', committed: false },
  { kind: 'failed', failure: 'runner-failed', against: 'model', committed: false },
  { kind: 'busy' },
  { kind: 'done', usage: {}, firstByteMs: 1 },
);

const step = fc.oneof(
  fc.record({ do: fc.constant('take' as const), id: fc.constantFrom(...ids), model: fc.constantFrom(...models) }),
  fc.record({ do: fc.constant('give' as const), outcome: failures }),
  /** A failure, and the time that its ejection takes: the next request is a trial. */
  fc.record({ do: fc.constant('fail' as const), id: fc.constantFrom(...ids) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({
    do: fc.constant('drain' as const),
    id: fc.constantFrom(...ids),
    state: fc.constantFrom('active' as const, 'draining' as const),
  }),
  fc.record({ do: fc.constant('has' as const), id: fc.constantFrom(...ids), models: fc.subarray(models) }),
);

/** Asks all ways, about every model. */
function check(fleet: Fleet, tried: readonly string[], only: readonly string[] | undefined): void {
  for (const model of [...models, null]) {
    const asked = job({ model, ...(only === undefined ? {} : { only }) });
    const eligibility = fleet.eligible(asked, tried);
    const outlook = fleet.outlook(asked, tried);
    assert.equal(outlook, eligibility.kind === 'candidates' ? 'free' : eligibility.reason);
    const prospects = fleet.prospects(asked, tried);
    const candidates = eligibility.kind === 'candidates' ? eligibility.candidates : [];
    assert.deepEqual(
      prospects.filter(({ free }) => free).map(({ id, weight, inFlight }) => ({ id, weight, inFlight })),
      candidates.map(({ id, weight, inFlight }) => ({ id, weight, inFlight })),
    );
    for (const prospect of prospects) assert.deepEqual(fleet.prospect(prospect.id, asked, tried), prospect);
    for (const id of ids) {
      const alone = fleet.prospect(id, asked, tried);
      const isNamed = prospects.some((prospect) => prospect.id === id);
      assert.ok(alone === null ? !isNamed : isNamed || alone.spare, 'left out only as a last resort');
    }
  }
}

describe('who may serve a job', () => {
  it('is the same whichever way it is asked', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.subarray(ids, { maxLength: 2 }),
        fc.constantFrom(undefined, ['a'], ['b', 'c']),
        (steps, tried, only) => {
          const { fleet, clock } = fleetOf(
            ids.map((id) => backend(id, { slots: 2 })),
            { models, health: { ejectAfter: 1 } },
          );
          const holds: ReturnType<typeof fleet.take>[] = [];
          for (const one of steps) {
            if (one.do === 'wait') clock.tick(one.ms);
            if (one.do === 'drain') fleet.observe(one.id, { kind: 'admin', state: one.state });
            if (one.do === 'has') {
              fleet.observe(one.id, { kind: 'inventory', models: one.models.map((name) => installed(name)) });
            }
            if (one.do === 'give') {
              const hold = holds.shift();
              if (hold !== undefined) fleet.give(hold, one.outcome);
            }
            if (one.do === 'take') {
              const eligibility = fleet.eligible(job({ model: one.model }), []);
              const named = eligibility.kind === 'candidates' && eligibility.candidates.some(({ id }) => id === one.id);
              if (named) holds.push(fleet.take(one.id, job({ model: one.model })));
            }
            if (one.do === 'fail' && fleet.prospect(one.id, job({ model: null }), [])?.free === true) {
              const outcome = { kind: 'failed', failure: 'x', against: 'backend', committed: false } as const;
              fleet.give(fleet.take(one.id, job({ model: null })), outcome);
              check(fleet, tried, only);
              clock.tick(7000);
            }
            check(fleet, tried, only);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('gives backends whose slots are `auto` as many as the planner needs', () => {
    const { fleet } = fleetOf([backend('a', { slots: 'auto' }), backend('b', { slots: 2 })], { models });
    fleet.setAutoSlots(Infinity);
    assert.deepEqual(
      fleet.view().map(({ slots }) => slots),
      [Infinity, 2],
    );
    fleet.set([backend('c', { slots: 'auto' })]);
    assert.deepEqual(
      fleet.view().map(({ slots }) => slots),
      [Infinity],
    );
    fleet.setAutoSlots(4);
    assert.equal(fleet.view()[0]!.slots, 4);
  });
});
