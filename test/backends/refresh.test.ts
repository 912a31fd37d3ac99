import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendClient } from '../../src/backends/client.ts';
import { createProber } from '../../src/backends/prober.ts';
import type { Observation } from '../../src/core/observation.ts';
import { seededRng } from '../support/random.ts';
import { settled, virtualClock } from '../support/virtual-clock.ts';

describe('a question beside the probes', () => {
  it('is answered for one list only, and an older answer that comes later changes nothing', async () => {
    const clock = virtualClock();
    const waiting: { path: string; answer: (names: readonly string[]) => void }[] = [];
    const client = {
      fetch: ({ path }: { path: string }) =>
        new Promise((resolve) => {
          const answer = (names: readonly string[]) =>
            resolve({
              status: 200,
              body: Buffer.from(JSON.stringify({ models: names.map((name) => ({ name, model: name })) })),
            });
          if (path === '/api/version') resolve({ status: 200, body: Buffer.from('{"version":"0.33.0"}') });
          else waiting.push({ path, answer });
        }),
    } as unknown as BackendClient;
    const seen: string[] = [];
    const report = (observation: Observation) => {
      if (observation.kind === 'inventory') seen.push(observation.models.map(({ name }) => name).join());
    };
    const prober = createProber(
      { client, clock, rng: seededRng(1), report },
      {
        interval: 1000,
        timeout: 100,
        recoveryInterval: 1000,
        inventoryInterval: 1000,
        residencyInterval: 1000,
        inventoryTimeout: 5000,
      },
    );
    await clock.advance(0);
    const [older] = waiting.splice(0);
    assert.equal(older!.path, '/api/tags');
    const refreshed = prober.refresh('installed');
    await settled();
    const [newer, ...rest] = waiting.splice(0);
    assert.deepEqual([newer!.path, rest.length], ['/api/tags', 0]);
    newer!.answer(['old', 'new']);
    await refreshed;
    older!.answer(['old']);
    await settled();
    assert.deepEqual(seen, ['old:latest,new:latest']);
    void prober.refresh('resident');
    await settled();
    assert.equal(waiting.at(-1)!.path, '/api/ps');
    prober.close();
    await prober.refresh('installed');
    assert.equal(waiting.length, 1);
  });
});
