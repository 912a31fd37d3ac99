import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDiscovery, type Resolver } from '../../src/backends/discovery/dns.ts';
import { backendSpecs, withDefaults, type BackendOptions } from '../../src/core/backend.ts';
import { virtualClock } from '../support/virtual-clock.ts';

function setUp(fields: Partial<BackendOptions>, resolver: Partial<Resolver>) {
  const clock = virtualClock();
  const told: string[] = [];
  const specs = backendSpecs([withDefaults({ name: 'herd', url: 'http://ollama.example:11434', ...fields })]);
  const discovery = createDiscovery(
    specs,
    {
      resolver: { addresses: async () => [], services: async () => [], ...resolver },
      clock,
      rng: { next: () => 0.5 },
      found: (_name, members) => told.push(members.map(({ id, url, weight }) => `${id} ${url} ${weight}`).join(', ')),
      failed: (name, reason) => told.push(`${name}: ${reason}`),
    },
    { interval: 15_000 },
  );
  return { clock, discovery, told };
}

describe('discovery by name', () => {
  it('finds a backend for each address, and tells only what has changed', async () => {
    let addresses = ['10.0.0.3', '10.0.0.2'];
    const { clock, discovery, told } = setUp({ discover: 'addresses' }, { addresses: async () => addresses });
    await discovery.resolveNow();
    await clock.advance(15_000);
    addresses = ['10.0.0.3', 'fd00::5'];
    await clock.advance(15_000);
    assert.deepEqual(told, [
      'herd-10.0.0.2 http://10.0.0.2:11434 1, herd-10.0.0.3 http://10.0.0.3:11434 1',
      'herd-10.0.0.3 http://10.0.0.3:11434 1, herd-fd00--5 http://[fd00::5]:11434 1',
    ]);
    discovery.close();
    assert.equal(clock.pendingTimers, 0);
  });

  it('finds a backend for each target of a service, with its port and weight', async () => {
    const services = async () => [{ host: 'gpu1.example', port: 11500, weight: 2 }];
    const { discovery, told } = setUp({ discover: 'srv', weight: 3, url: 'http://_ollama._tcp.example' }, { services });
    await discovery.resolveNow();
    discovery.close();
    assert.deepEqual(told, ['herd-gpu1.example-11500 http://gpu1.example:11500 6']);
  });

  it('keeps what it had when the name can’t be resolved, or has nothing behind it', async () => {
    const answers: (() => Promise<string[]>)[] = [
      async () => ['10.0.0.2'],
      () => Promise.reject(new Error('ENOTFOUND')),
      async () => [],
    ];
    const { clock, discovery, told } = setUp({ discover: 'addresses' }, { addresses: () => answers.shift()!() });
    await discovery.resolveNow();
    await clock.advance(15_000);
    await clock.advance(15_000);
    discovery.close();
    assert.deepEqual(told, [
      'herd-10.0.0.2 http://10.0.0.2:11434 1',
      'herd: ENOTFOUND',
      'herd: the name has no address',
    ]);
  });

  it('verifies TLS by the name, not the address', async () => {
    const found: (string | undefined)[] = [];
    const specs = backendSpecs([withDefaults({ name: 'herd', url: 'https://ollama.example', discover: 'addresses' })]);
    const discovery = createDiscovery(
      specs,
      {
        resolver: { addresses: async () => ['10.0.0.2'], services: async () => [] },
        clock: virtualClock(),
        rng: { next: () => 0.5 },
        found: (_name, members) => found.push(members[0]?.tls?.servername),
        failed: () => {},
      },
      { interval: 15_000 },
    );
    await discovery.resolveNow();
    discovery.close();
    assert.deepEqual(found, ['ollama.example']);
  });
});
