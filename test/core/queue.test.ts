import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Queue, type Waiter } from '../../src/core/queue.ts';
import { job } from '../support/build.ts';

interface Numbered extends Waiter {
  readonly number: number;
}

const arrival = fc.record({
  model: fc.constantFrom('a:latest', 'b:latest', null),
  client: fc.constantFrom('alice', 'bob'),
  priority: fc.nat({ max: 2 }),
  tried: fc.subarray(['x', 'y']),
  only: fc.option(fc.subarray(['x', 'y'], { minLength: 1 }), { nil: null }),
  deadline: fc.nat({ max: 1000 }),
});

type Arrival = typeof arrival extends fc.Arbitrary<infer T> ? T : never;

function waiter(number: number, { tried, only, deadline, ...rest }: Arrival): Numbered {
  return { number, job: job({ ...rest, ...(only === null ? {} : { only }) }), tried, since: number, deadline };
}

function inOrder(queue: Queue<Numbered>): Numbered[][] {
  return [...queue.lanes].map((lane) => [...lane]);
}

describe('queue', () => {
  it('keeps every waiter until it is removed, in lanes in order of service', () => {
    const steps = fc.array(fc.oneof({ weight: 3, arbitrary: arrival }, { weight: 2, arbitrary: fc.nat() }), {
      size: 'max',
      maxLength: 80,
    });
    fc.assert(
      fc.property(steps, (history) => {
        const queue = new Queue<Numbered>();
        const model: Numbered[] = [];
        for (const [number, step] of history.entries()) {
          if (typeof step !== 'number') {
            const one = waiter(number, step);
            queue.push(one);
            model.push(one);
          } else if (model.length > 0) {
            const [gone] = model.splice(step % model.length, 1);
            assert.ok(queue.remove(gone!));
            assert.ok(!queue.remove(gone!), 'twice');
            assert.ok(!queue.has(gone!));
          }
          check(queue, model);
        }
      }),
    );
  });

  function check(queue: Queue<Numbered>, model: readonly Numbered[]): void {
    assert.equal(queue.size, model.length);
    const lanes = inOrder(queue);
    assert.deepEqual(new Set(lanes.flat()), new Set(model));
    for (const [index, lane] of [...queue.lanes].entries()) {
      const waiters = lanes[index]!;
      assert.equal(lane.size, waiters.length);
      assert.equal(lane.head, waiters[0]);
      const sorted = [...waiters].sort((a, b) => a.job.priority - b.job.priority || a.number - b.number);
      assert.deepEqual(waiters, sorted, 'lower class first, then first come');
      const [first] = waiters;
      for (const other of waiters) {
        assert.equal(other.job.model, first!.job.model);
        assert.deepEqual(other.tried, first!.tried);
        assert.deepEqual(other.job.only, first!.job.only);
      }
    }
    const keys = lanes.map(([first]) => JSON.stringify([first!.job.model, first!.tried, first!.job.only ?? null]));
    assert.equal(new Set(keys).size, keys.length, 'one lane for jobs that fit the same backends');
    const soonest = Math.min(...model.map(({ deadline }) => deadline));
    assert.equal(queue.firstToExpire?.deadline ?? Infinity, soonest);
    const worst = [...model].sort((a, b) => b.job.priority - a.job.priority || b.number - a.number)[0];
    assert.equal(queue.leastUrgent, worst);
    let counted = 0;
    for (const count of queue.countByModel().values()) counted += count;
    assert.equal(counted, model.length);
  }

  it('puts who has waited since earlier before who came earlier to the queue', () => {
    const queue = new Queue<Waiter>();
    const fresh: Waiter = { job: job(), tried: [], since: 100, deadline: 1000 };
    const returning: Waiter = { job: job(), tried: ['x'], since: 40, deadline: 1000 };
    queue.push(fresh);
    queue.push(returning);
    assert.ok(queue.precedes(returning, fresh));
    assert.ok(!queue.precedes(fresh, returning));
  });

  it('lets the current waiter of a lane be removed while the lane is walked', () => {
    const queue = new Queue<Waiter>();
    for (let number = 0; number < 5; number += 1) {
      queue.push({ job: job({ priority: number % 2 }), tried: [], since: number, deadline: 10 });
    }
    let seen = 0;
    for (const lane of queue.lanes) {
      for (const each of lane) {
        queue.remove(each);
        seen += 1;
      }
    }
    assert.equal(seen, 5);
    assert.equal(queue.size, 0);
  });

  it('leaves nothing behind when all have left', () => {
    const queue = new Queue<Waiter>();
    const all = Array.from(
      { length: 100 },
      (_, number): Waiter => ({
        job: job({ model: `m${number % 7}:latest`, priority: number % 3 }),
        tried: [],
        since: number,
        deadline: number,
      }),
    );
    for (const one of all) queue.push(one);
    for (const one of all) queue.remove(one);
    assert.deepEqual([...queue.lanes], []);
    assert.equal(queue.firstToExpire, undefined);
    assert.equal(queue.leastUrgent, undefined);
  });
});
