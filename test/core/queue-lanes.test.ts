import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { Queue, type Waiter } from '../../src/core/queue.ts';
import { job } from '../support/build.ts';

const waiter = fc.record({
  model: fc.constantFrom('m:latest', 'n:latest', null),
  runnerOptions: fc.constantFrom('', 'num_ctx=1', 'num_ctx=2'),
  tried: fc.subarray(['a', 'b']),
  priority: fc.integer({ min: 0, max: 2 }),
});

describe('lanes', () => {
  it('of one runner hold its waiting jobs and no others, whoever has left', () => {
    fc.assert(
      fc.property(fc.array(waiter, { maxLength: 30 }), fc.array(fc.nat(), { maxLength: 20 }), (waiters, leavers) => {
        const queue = new Queue<Waiter>();
        const waiting = waiters.map(({ tried, ...rest }, index) => ({
          job: job(rest),
          tried,
          since: index,
          deadline: 1000,
        }));
        for (const one of waiting) queue.push(one);
        for (const index of leavers) {
          const [gone] = waiting.splice(index % Math.max(1, waiting.length), 1);
          if (gone !== undefined) queue.remove(gone);
        }
        for (const model of ['m:latest', 'n:latest', null]) {
          for (const runnerOptions of ['', 'num_ctx=1', 'num_ctx=2']) {
            for (const lane of queue.lanesOf(model, runnerOptions)) assert.ok(lane.size > 0);
            const found = [...queue.lanesOf(model, runnerOptions)].flatMap((lane) => [...lane]);
            const expected = waiting.filter(
              ({ job: one }) => one.model === model && one.runnerOptions === runnerOptions,
            );
            assert.deepEqual(new Set(found), new Set(expected));
            assert.equal(found.length, expected.length);
          }
        }
        assert.equal([...queue.lanes].flatMap((lane) => [...lane]).length, waiting.length);
      }),
    );
  });
});
