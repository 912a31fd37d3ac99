import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

describe('a machine that sleeps', () => {
  it('is woken by a packet when a request needs it, and answers that request', async (t) => {
    const ollama = await fakeOllama(t, { models: ['tiny:latest'] });
    const network = createSocket('udp4');
    t.after(() => network.close());
    network.bind(0, '127.0.0.1');
    await once(network, 'listening');
    network.once('message', () => void ollama.revive());
    const wake = { mac: 'a4:bb:6d:00:11:22', broadcast: '127.0.0.1', port: network.address().port };
    const nas = await fakeOllama(t, { models: ['other:latest'] });
    const gateway = await startGateway(t, [{ url: ollama.url, name: 'pc', wake }, nas], {
      config: 'health: {fallAfter: 1, riseAfter: 1}\n',
    });
    await ollama.kill();
    const states = () => gateway.log.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith('backend '));
    while (!states().includes('backend down')) await (await fetch(`${gateway.url}/readyz`)).text();
    const { models } = (await (await fetch(`${gateway.url}/api/tags`)).json()) as { models: { name: string }[] };
    assert.deepEqual(
      models.map(({ name }) => name).sort(),
      ['other:latest', 'tiny:latest'],
      'what it has can be asked for',
    );
    const answer = await gateway.chat();
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('x-llamero-backend'), 'pc');
    await answer.text();
    assert.deepEqual(states().slice(-4), ['backend down', 'backend waking', 'backend woken', 'backend up']);
    for (const outcome of ['sent', 'awake']) {
      assert.equal(await gateway.metric('llamero_backend_wakes_total', { backend: 'pc', outcome }), 1, outcome);
    }
  });

  it('can be all there is: the gateway is ready as long as it can be woken', async (t) => {
    const asleep = { url: 'http://127.0.0.1:9', name: 'pc', wake: { mac: 'a4:bb:6d:00:11:22' } };
    const gateway = await startGateway(t, [asleep], { config: 'health: {fallAfter: 1}\n' });
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);
    await fetch(`${gateway.adminUrl}/gateway/backends/pc/drain`, { method: 'POST' });
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 503);
  });
});
