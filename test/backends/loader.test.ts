import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ask, BackendClient } from '../../src/backends/client.ts';
import { askFor, createLoader } from '../../src/backends/loader.ts';
import type { Intent } from '../../src/core/planner.ts';
import { settled, virtualClock } from '../support/virtual-clock.ts';

const intent: Intent = { kind: 'load', backend: 'a', model: 'm:latest', runnerOptions: '', task: 'chat' };

function sentBy(changes: Partial<Intent>): { path: string; body: unknown } {
  const { path, body } = askFor({ ...intent, ...changes });
  return { path, body: JSON.parse(String(body)) };
}

describe('a load of the gateway’s own', () => {
  it('is an empty prompt with the options of the jobs it is for', () => {
    assert.deepEqual(sentBy({}), { path: '/api/generate', body: { model: 'm:latest', stream: false } });
    assert.deepEqual(sentBy({ runnerOptions: 'num_ctx=8192,shift=false,use_mmap=true' }), {
      path: '/api/generate',
      body: { model: 'm:latest', shift: false, options: { num_ctx: 8192, use_mmap: true }, stream: false },
    });
  });

  it('goes through the route of embeddings for a model that embeds', () => {
    assert.deepEqual(sentBy({ task: 'embed' }), {
      path: '/api/embed',
      body: { model: 'm:latest', stream: false, input: [] },
    });
  });

  it('is undone by a keep_alive of nothing', () => {
    assert.deepEqual(sentBy({ kind: 'unload', task: 'embed', runnerOptions: 'num_ctx=1' }), {
      path: '/api/generate',
      body: { model: 'm:latest', keep_alive: 0 },
    });
  });

  it('tells how long it took, then has the backend looked at', async () => {
    const clock = virtualClock();
    let answer: (status: number) => void = () => {};
    const looked: string[] = [];
    const client = {
      fetch: (_ask: Ask) =>
        new Promise((resolve) => {
          answer = (status) => resolve({ status, body: Buffer.alloc(0) });
        }),
    } as unknown as BackendClient;
    const perform = createLoader({ client: () => client, clock, refresh: async (id) => void looked.push(id) });
    const ends: (number | null)[] = [];
    perform(intent, (tookMs) => void ends.push(tookMs));
    await clock.advance(4000);
    answer(200);
    await settled();
    assert.deepEqual([...ends], [4000]);
    assert.deepEqual(looked, ['a']);
    perform(intent, (tookMs) => void ends.push(tookMs));
    answer(500);
    await settled();
    assert.deepEqual(ends, [4000, null], 'another answer than 200 is a failure');
  });

  it('fails when the backend does not answer or is gone, and says so once', async () => {
    const refuses = { fetch: () => Promise.reject(new Error('refused')) } as unknown as BackendClient;
    const gone = (): BackendClient => {
      throw new Error('not configured');
    };
    for (const client of [() => refuses, gone]) {
      const ends: (number | null)[] = [];
      createLoader({ client, clock: virtualClock(), refresh: async () => {} })(intent, (tookMs) => void ends.push(tookMs));
      await settled();
      assert.deepEqual(ends, [null]);
    }
  });
});
