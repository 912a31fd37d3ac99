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

/** What one job is expected to take, before any has told. */
const EXPECTED = 10 + 2 * 256;

/** Bands in order; in each, whoever would have had least goes next, and of equals who came first. */
function inTurn(waiting: readonly Numbered[]): Numbered[] {
  const left = [...waiting].sort((a, b) => a.number - b.number);
  const had = new Map<string, number>();
  const order: Numbered[] = [];
  while (left.length > 0) {
    const key = ({ job: { client, priority } }: Numbered): string => `${client} ${priority}`;
    const heads = left.filter((one) => left.find((other) => key(other) === key(one)) === one);
    heads.sort(
      (a, b) =>
        a.job.priority - b.job.priority || (had.get(key(a)) ?? 0) - (had.get(key(b)) ?? 0) || a.number - b.number,
    );
    const next = heads[0]!;
    had.set(key(next), (had.get(key(next)) ?? 0) + EXPECTED);
    order.push(next);
    left.splice(left.indexOf(next), 1);
  }
  return order;
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
      assert.deepEqual(waiters, inTurn(model.filter((one) => waiters.includes(one))), 'bands, then clients in turn');
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
    const worst = queue.leastUrgent;
    const of = (client: string | undefined): Numbered[] => model.filter(({ job: one }) => one.client === client);
    assert.equal(worst, of(worst?.job.client).at(-1), 'the newest of its client');
    for (const { job: other } of model) assert.ok(of(worst?.job.client).length >= of(other.client).length);
    assert.deepEqual(new Set(queue), new Set(model));
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
