/** The order of service within a lane, seen through the queue that owns it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Queue, type Lane, type Waiter } from '../../src/core/queue.ts';
import { job } from '../support/build.ts';

/** Powers of two, so that what a client has had is an exact number. */
const weights = { alice: 1, bob: 2, carol: 4 } as const;
type Name = keyof typeof weights;

const arrival = fc.record({
  client: fc.constantFrom<Name>('alice', 'bob', 'carol'),
  priority: fc.nat({ max: 2 }),
  promptTokens: fc.nat({ max: 500 }),
  since: fc.nat({ max: 50 }),
});
type Arrival = typeof arrival extends fc.Arbitrary<infer T> ? T : never;

function waiter({ client, priority, promptTokens, since }: Arrival, concurrency?: number): Waiter {
  const share = { weight: weights[client], ...(concurrency === undefined ? {} : { concurrency }) };
  return { job: job({ client, priority, promptTokens, share }), tried: [], since, deadline: 1e9 };
}

function queueOf(waiters: readonly Waiter[], ageing = Infinity): Queue<Waiter> {
  const queue = new Queue<Waiter>();
  queue.setAgeing(ageing);
  queue.setNow(0);
  for (const one of waiters) queue.push(one);
  return queue;
}

function laneOf(queue: Queue<Waiter>): Lane | undefined {
  return [...queue.lanes][0];
}

/** Serves whoever comes first until nobody is left. */
function servedFrom(queue: Queue<Waiter>): Waiter[] {
  const served: Waiter[] = [];
  for (let lane = laneOf(queue); lane !== undefined; lane = laneOf(queue)) {
    const { head } = lane;
    assert.notEqual(queue.serve(head), null);
    served.push(head);
  }
  return served;
}

describe('a lane', () => {
  it('is walked in the order in which its jobs go, whatever their clients, weights, bands and lengths', () => {
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 30 }), (arrivals) => {
        const queue = queueOf(arrivals.map((one) => waiter(one)));
        const walked = [...(laneOf(queue) ?? [])];
        assert.deepEqual(walked, servedFrom(queue));
        assert.equal(walked.length, arrivals.length);
      }),
      { numRuns: 200 },
    );
  });

  it('is walked with those first that have been passed over, which go first', () => {
    fc.assert(
      fc.property(fc.array(arrival, { minLength: 1, maxLength: 20 }), (arrivals) => {
        const queue = queueOf(
          arrivals.map((one) => waiter(one)),
          100,
        );
        queue.setNow(100);
        const lane = laneOf(queue)!;
        const priorities = [...new Set(arrivals.map(({ priority }) => priority))].sort((a, b) => a - b);
        const walked = [...lane];
        assert.equal(walked[0], lane.head);
        assert.deepEqual(new Set(walked), new Set(queue));
        assert.equal(walked.length, arrivals.length, 'nobody twice');
        assert.deepEqual(
          walked.slice(0, priorities.length - 1).map((one) => one.job.priority),
          priorities.slice(1),
          'one of each band after the first',
        );
        for (const one of walked.slice(0, priorities.length - 1)) {
          for (const other of queue) {
            const isEarly = walked.indexOf(other) < priorities.length - 1;
            assert.equal(
              queue.precedes(one, other),
              walked.indexOf(one) < walked.indexOf(other) && !isEarly ? true : one.job.priority < other.job.priority,
            );
          }
        }
      }),
    );
  });

  it('begins, among clients that have had as much as each other, with whoever has waited for longest', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 12 }), (sinces) => {
        const clients = sinces.map((since, number): Waiter => {
          return { job: job({ client: `c${number}` }), tried: [], since, deadline: 1e9 };
        });
        const queue = queueOf(clients);
        assert.equal(laneOf(queue)!.head.since, Math.min(...sinces));
        assert.deepEqual(
          servedFrom(queue).map(({ since }) => since),
          [...sinces].sort((a, b) => a - b),
        );
      }),
    );
  });

  it('has no job twice when one of a single band is asked for, and ends where its jobs end', () => {
    const queue = queueOf([0, 1, 2].map((since) => waiter({ client: 'alice', priority: 0, promptTokens: 1, since })));
    const [lane] = [...queue.lanes];
    assert.deepEqual(
      [...lane!].map(({ since }) => since),
      [0, 1, 2],
    );
  });

  it('knows its size and who has waited for longest, of those that may go', () => {
    fc.assert(
      fc.property(fc.array(arrival, { minLength: 1, maxLength: 20 }), fc.nat({ max: 3 }), (arrivals, running) => {
        const concurrency = 2;
        const queue = queueOf(
          arrivals.map((one, since) => waiter({ ...one, since }, one.client === 'bob' ? concurrency : undefined)),
        );
        const bounded = job({ client: 'bob', share: { weight: 2, concurrency } });
        for (let count = 0; count < running; count += 1) queue.admit(bounded);
        const free = [...queue].filter((one) => one.job.client !== 'bob' || running < concurrency);
        const lane = laneOf(queue);
        assert.equal(lane?.size ?? 0, free.length);
        if (lane === undefined) return;
        assert.deepEqual(new Set(lane), new Set(free));
        assert.equal(lane.oldest.since, Math.min(...free.map(({ since }) => since)));
        assert.deepEqual(new Set([...queue.alike()].flat()), new Set(queue), 'all wait, whether they may go or not');
      }),
    );
  });

  it('never foretells fewer than will have gone when the last of a client has, nor more than wait', () => {
    fc.assert(
      fc.property(fc.array(arrival, { minLength: 1, maxLength: 24 }), (arrivals) => {
        // Of one length and one band, so that turns are even.
        const queue = queueOf(arrivals.map((one) => waiter({ ...one, since: 0, priority: 0, promptTokens: 10 })));
        const last = new Map<string, Waiter>();
        for (const one of queue) last.set(one.job.client, one);
        const foretold = [...last].map(([client, one]) => [client, queue.ahead(one)] as const);
        const served = servedFrom(queue);
        for (const [client, ahead] of foretold) {
          const truly = served.findLastIndex((one) => one.job.client === client) + 1;
          assert.ok(ahead >= truly, `${client}: ${ahead} foretold, ${truly} came`);
          assert.ok(ahead <= arrivals.length);
        }
      }),
    );
  });

  it('counts all that wait in the bands before, none of those behind, and of its own by weight', () => {
    const all = [
      ...Array.from({ length: 3 }, () => ({ client: 'alice', priority: 0 }) as const),
      ...Array.from({ length: 4 }, () => ({ client: 'alice', priority: 1 }) as const),
      ...Array.from({ length: 9 }, () => ({ client: 'bob', priority: 1 }) as const),
      ...Array.from({ length: 5 }, () => ({ client: 'carol', priority: 2 }) as const),
    ].map((one) => waiter({ ...one, promptTokens: 10, since: 0 }));
    const queue = queueOf(all);
    assert.equal(queue.ahead(all[0]!), 3);
    assert.equal(queue.ahead(all[3]!), 3 + 4 + 8, 'bob goes twice as often');
    assert.equal(queue.ahead(all[7]!), 3 + 4 + 9);
    assert.equal(queue.ahead(all[16]!), 21);
  });
});
