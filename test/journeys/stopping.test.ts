import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { realSystem } from '../../src/system.ts';
import { startGateway } from '../support/gateway.ts';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { virtualClock } from '../support/virtual-clock.ts';

describe('stopping', () => {
  it('says not ready, refuses new connections, and lets answers finish', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config: 'shutdown: {grace: 2s}\n' });
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

  it('answers whoever asks again soon after an answer that began before, and closes that connection then', async (t) => {
    const ollama = await fakeOllama(t);
    const clock = virtualClock();
    const gateway = await startGateway(t, [ollama], { system: { ...realSystem, clock } });
    const ask = jsonRequest('/api/chat', { model: 'tiny', messages: [{ role: 'user', content: 'hi' }] });
    const usual = ollama.handler;
    const asked = ollama.next();
    ollama.handler = (request) => {
      startStream(request);
      request.response.write(chatLine('one'));
    };
    const [asks, quiet] = [await rawClient(gateway.port, ask), await rawClient(gateway.port)];
    await asks.receives('one');
    assert.doesNotMatch(asks.text(), /connection: close/i);
    const stopped = gateway.app.stop();
    // Longer than a connection may be idle, but something is being answered.
    await clock.advance(10_000);
    (await asked).response.end(chatLine('', true));
    await asks.receives('\r\n0\r\n\r\n');
    await clock.advance(4_500);
    ollama.handler = usual;
    asks.write(ask);
    assert.equal(await asks.ended, 'end');
    assert.match(
      asks.text().slice(asks.text().indexOf('\r\n0\r\n\r\n')),
      /^\r\n0\r\n\r\nHTTP\/1\.1 200 .*connection: close/is,
    );
    await clock.advance(5_500);
    assert.equal(await quiet.ended, 'end');
    await clock.advance(1_000);
    await stopped;
  });
});
