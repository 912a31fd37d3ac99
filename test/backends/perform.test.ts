import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ask, BackendClient } from '../../src/backends/client.ts';
import { createPerform } from '../../src/backends/perform.ts';
import type { Observation } from '../../src/core/observation.ts';
import type { Intent, Perform } from '../../src/core/planner.ts';
import { settled, virtualClock, type VirtualClock } from '../support/virtual-clock.ts';

const load: Intent = { kind: 'load', backend: 'a', model: 'm:latest', runnerOptions: '', task: 'chat' };
const unload: Intent = { ...load, kind: 'unload', model: 'n:latest' };

interface Bench {
  readonly perform: Perform;
  readonly clock: VirtualClock;
  /** `backend path body` of every request so far. */
  readonly asked: string[];
  readonly observed: Observation[];
  readonly ends: (number | null)[];
  /** Answers the oldest open request. */
  answer(status: number): Promise<void>;
}

function bench(refresh: () => Promise<void> = async () => {}): Bench {
  const clock = virtualClock();
  const open: ((status: number) => void)[] = [];
  const asked: string[] = [];
  const observed: Observation[] = [];
  const ends: (number | null)[] = [];
  const client = (id: string): BackendClient => {
    if (id === 'gone') throw new Error('not configured');
    const fetch = ({ path, body }: Ask) => {
      asked.push(`${id} ${path} ${String(body)}`);
      return new Promise((resolve) => {
        open.push((status) => resolve({ status, body: Buffer.alloc(0) }));
      });
    };
    return { fetch } as unknown as BackendClient;
  };
  return {
    perform: createPerform({
      client,
      clock,
      refresh,
      observe: (_id, observation) => void observed.push(observation),
      loadTimeout: () => 1000,
    }),
    clock,
    asked,
    observed,
    ends,
    async answer(status) {
      open.shift()?.(status);
      await settled();
    },
  };
}

describe('what the planner wants in memory', () => {
  it('is loaded by an empty prompt, with the options of the jobs it is for', async () => {
    const { perform, asked, answer, clock, ends, observed } = bench();
    perform({ ...load, runnerOptions: 'num_ctx=8192,shift=false,use_mmap=true' }, (tookMs) => void ends.push(tookMs));
    await clock.advance(4000);
    await answer(200);
    assert.deepEqual(asked, [
      'a /api/generate {"model":"m:latest","options":{"num_ctx":8192,"use_mmap":true},"shift":false}',
    ]);
    assert.deepEqual(ends, [4000]);
    assert.deepEqual(observed, [{ kind: 'loaded', model: 'm:latest', reason: 'placed', ms: 4000 }]);
  });

  it('is loaded through the route of embeddings when it embeds', async () => {
    const { perform, asked } = bench();
    perform({ ...load, task: 'embed' }, () => {});
    await settled();
    assert.deepEqual(asked, ['a /api/embed {"model":"m:latest","input":[]}']);
  });

  it('has failed to load when the answer is another than 200, or there is none', async () => {
    const { perform, answer, ends, observed } = bench();
    perform(load, (tookMs) => void ends.push(tookMs));
    await settled();
    await answer(500);
    perform({ ...load, backend: 'gone' }, (tookMs) => void ends.push(tookMs));
    await settled();
    assert.deepEqual(ends, [null, null]);
    assert.deepEqual(observed, []);
  });

  it('is loaded after what has to go first has gone, and beside what happens elsewhere', async () => {
    const { perform, asked, answer } = bench();
    perform(unload, () => {});
    perform(load, () => {});
    perform({ ...load, backend: 'b' }, () => {});
    await settled();
    assert.deepEqual(asked, [
      'a /api/generate {"model":"n:latest","keep_alive":0}',
      'b /api/generate {"model":"m:latest"}',
    ]);
    await answer(200);
    assert.equal(asked[2], 'a /api/generate {"model":"m:latest"}');
  });

  it('is there as soon as it is loaded, however long the backend takes to list it', async () => {
    const { perform, answer, ends } = bench(() => new Promise(() => {}));
    perform(load, (tookMs) => void ends.push(tookMs));
    await settled();
    await answer(200);
    assert.deepEqual(ends, [0]);
  });
});
