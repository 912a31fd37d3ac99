import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BackendClient } from '../../src/backends/client.ts';
import { createProber, type Prober } from '../../src/backends/prober.ts';
import { virtualClock, type VirtualClock } from '../support/virtual-clock.ts';

const options = {
  interval: 2000,
  recoveryInterval: 200,
  timeout: 1000,
  inventoryInterval: 60_000,
  residencyInterval: 60_000,
  inventoryTimeout: 1000,
};

interface Probed {
  readonly prober: Prober;
  readonly clock: VirtualClock;
  isAlive: boolean;
  /** When `/api/version` was asked since the last call. */
  asked(): number[];
}

/** A prober without jitter, of a backend that is alive or refuses. */
async function probed(interval = options.interval): Promise<Probed> {
  const clock = virtualClock();
  const times: number[] = [];
  const state = { isAlive: true };
  const client = {
    async fetch({ path }: { readonly path: string }) {
      if (path === '/api/version') times.push(clock.now());
      if (!state.isAlive) throw new Error('refused the connection');
      return { status: 200, body: Buffer.from(path === '/api/version' ? '{"version":"0.33.0"}' : '{"models":[]}') };
    },
  } as unknown as BackendClient;
  const prober = createProber({ client, clock, rng: { next: () => 0.5 }, report: () => {} }, { ...options, interval });
  await clock.advance(0);
  return Object.assign(state, { prober, clock, asked: () => times.splice(0) });
}

describe('how often a backend is probed', () => {
  it('is the interval while it answers', async () => {
    const { asked, clock } = await probed();
    await clock.advance(6000);
    assert.deepEqual(asked(), [0, 2000, 4000, 6000]);
  });

  it('is quick while it does not answer, and until it has answered three times', async () => {
    const backend = await probed();
    backend.isAlive = false;
    await backend.clock.advance(2500);
    assert.deepEqual(backend.asked(), [0, 2000, 2200, 2400]);
    backend.isAlive = true;
    await backend.clock.advance(3000);
    assert.deepEqual(backend.asked(), [2600, 2800, 3000, 5000]);
  });

  it('is quick for a moment after a request has failed', async () => {
    const { asked, clock, prober } = await probed();
    await clock.advance(1000);
    prober.suspect();
    prober.suspect();
    await clock.advance(3000);
    assert.deepEqual(asked(), [0, 1200, 1400, 1600, 3600]);
  });

  it('is never less than the interval asks for', async () => {
    const backend = await probed(100);
    backend.isAlive = false;
    await backend.clock.advance(300);
    assert.deepEqual(backend.asked(), [0, 100, 200, 300]);
  });

  it('is not at all once it is closed', async () => {
    const { asked, clock, prober } = await probed();
    prober.close();
    prober.suspect();
    await clock.advance(10_000);
    assert.deepEqual(asked(), [0]);
  });
});
