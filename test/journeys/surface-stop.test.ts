import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { simulatedOllamas } from '../support/simulated.ts';

const impatient = 'shutdown: {grace: 1ms}\n';

describe('stopping while something other than inference goes on', () => {
  for (const [what, placement] of [
    ['one backend', 'sim-1'],
    ['several', 'all'],
  ] as const) {
    it(`ends a pull on ${what} with an error in its stream, and lets the backends go`, async (t) => {
      const sims = await simulatedOllamas(t, 2, { models: [], pullBytesPerSecond: 1e6 });
      const gateway = await startGateway(t, sims, { config: `${impatient}placement: {pull: '${placement}'}` });
      const client = await rawClient(gateway.port, jsonRequest('/api/pull', { model: 'tiny' }));
      await client.receives('"digest"');
      await gateway.app.stop();
      await client.ended;
      assert.match(client.text(), /\{"error":"[^"]*the gateway is stopping"\}\n/);
      assert.ok(!client.text().endsWith('\r\n0\r\n\r\n'));
      await sims[0]!.control.journal.until(({ kind }) => kind === 'client-left');
    });
  }

  it('answers what has had no answer yet', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = () => {};
    const gateway = await startGateway(t, [ollama], { config: impatient });
    const asked = ollama.next();
    const client = await rawClient(gateway.port, jsonRequest('/api/show', { model: 'tiny' }));
    await asked;
    await gateway.app.stop();
    await client.ended;
    assert.match(client.text(), /^HTTP\/1\.1 503 .*\{"error":"the gateway is stopping"\}$/s);
  });

  it('ends an upload', async (t) => {
    const sims = await simulatedOllamas(t, 1, { models: [] });
    const gateway = await startGateway(t, sims, { config: impatient });
    const head = `POST /api/blobs/sha256:${'1'.repeat(64)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n`;
    const client = await rawClient(gateway.port, head + 'x'.repeat(1000));
    const { journal } = sims[0]!.control;
    await journal.until(() => journal.requests.some(({ method }) => method === 'POST'));
    await gateway.app.stop();
    await client.ended;
    assert.match(client.text(), /^HTTP\/1\.1 503 .*\{"error":"the gateway is stopping"\}$/s);
    assert.equal(sims[0]!.control.library.blobs(), 0);
  });
});
