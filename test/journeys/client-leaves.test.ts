import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

const isChat = (line: Record<string, unknown>) => line['route'] === '/api/chat';

describe('a client that leaves', () => {
  it('in mid-stream stops its backend and frees the slot', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [{ url: ollama.url, slots: 1 }]);
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    const finished = gateway.finished(isChat);
    const controller = new AbortController();
    const answer = await gateway.chat({}, { signal: controller.signal });
    await answer.body!.getReader().read();
    controller.abort();
    await ollama.asked[0]!.aborted;
    const line = await finished;
    assert.deepEqual([line['outcome'], line['disconnect_phase']], ['client-gone', 'streaming']);
    assert.equal(await gateway.metric('llamero_inflight_requests'), 0);
    assert.equal(await gateway.metric('llamero_client_disconnects_total', { phase: 'streaming' }), 1);
    // The one slot is free: the next request is served.
    ollama.handler = (asked) => void asked.response.end(chatLine('x', true));
    assert.equal((await gateway.chat()).status, 200);
  });

  it('before the first byte stops its backend too', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    ollama.handler = () => {};
    const asked = ollama.next();
    const finished = gateway.finished(isChat);
    const controller = new AbortController();
    const answer = gateway.chat({}, { signal: controller.signal }).catch(() => null);
    const { aborted } = await asked;
    controller.abort();
    await aborted;
    await answer;
    const line = await finished;
    assert.deepEqual([line['outcome'], line['disconnect_phase']], ['client-gone', 'waiting']);
  });

  it('while queued leaves the queue at once and never reaches a backend', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [{ url: ollama.url, slots: 1 }]);
    ollama.handler = (asked) => startStream(asked);
    const held = ollama.next();
    const first = gateway.chat();
    const { response } = await held;
    const controller = new AbortController();
    const finished = gateway.finished(isChat);
    const second = gateway.chat({}, { signal: controller.signal }).catch(() => null);
    while ((await gateway.metric('llamero_queue_depth')) === 0) continue;
    controller.abort();
    await second;
    const line = await finished;
    assert.deepEqual([line['outcome'], line['disconnect_phase']], ['client-gone', 'queued']);
    assert.equal(await gateway.metric('llamero_queue_depth'), 0);
    response.end(chatLine('', true));
    await (await first).text();
    assert.equal(ollama.asked.length, 1);
    assert.equal(await gateway.metric('llamero_inflight_requests'), 0);
  });
});
