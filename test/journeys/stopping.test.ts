import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

describe('stopping', () => {
  it('says not ready, refuses new connections, and lets answers finish', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);
    const answer = await gateway.chat();
    const reader = answer.body!.getReader();
    await reader.read();
    const stopped = gateway.app.stop();
    assert.equal((await fetch(`${gateway.adminUrl}/readyz`)).status, 503);
    const [refusal] = (await once(connect(gateway.port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(refusal.code, 'ECONNREFUSED');
    ollama.asked[0]!.response.end(chatLine('', true));
    assert.equal(new TextDecoder().decode((await reader.read()).value), chatLine('', true));
    assert.equal((await reader.read()).done, true);
    await stopped;
  });

  it('ends what is not finished within its grace: streams in their dialect, the queue with 503', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [{ url: ollama.url, slots: 1 }], { config: 'shutdown: {grace: 100ms}\n' });
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    const answer = await gateway.chat();
    const reader = answer.body!.getReader();
    await reader.read();
    const queued = gateway.chat();
    while ((await gateway.metric('llamero_queue_depth')) === 0) continue;
    const stopped = gateway.app.stop();
    assert.match(new TextDecoder().decode((await reader.read()).value), /^\{"error":".*stopping.*"\}\n$/);
    await assert.rejects(reader.read());
    const refused = await queued;
    assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
    await stopped;
    await ollama.asked[0]!.aborted;
  });
});
