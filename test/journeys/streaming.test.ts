import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

describe('a streamed answer', () => {
  it('reaches the client piece by piece, each when the backend sends it', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    ollama.handler = () => {};
    const asked = ollama.next();
    const answer = gateway.chat();
    const { response } = await asked;
    startStream(await Promise.resolve(ollama.asked[0]!));
    response.write(chatLine('one'));
    const reader = (await answer).body!.getReader();
    // The second piece is sent only after the first has been read at the far end.
    for (const word of ['one', 'two', 'three']) {
      if (word !== 'one') response.write(chatLine(word));
      const { value } = await reader.read();
      assert.equal(new TextDecoder().decode(value), chatLine(word));
    }
    response.end(chatLine('', true));
    assert.equal(new TextDecoder().decode((await reader.read()).value), chatLine('', true));
    assert.equal((await reader.read()).done, true);
  });

  it('carries the backend’s status, type and bytes, and says who answered', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    const finished = gateway.finished();
    const answer = await gateway.chat(
      {},
      { headers: { 'x-request-id': 'abc-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } },
    );
    assert.equal(await answer.text(), chatLine('hel') + chatLine('lo') + chatLine('', true));
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
    assert.equal(answer.headers.get('x-llamero-backend'), 'b1');
    assert.equal(answer.headers.get('x-llamero-attempts'), '1');
    assert.equal(answer.headers.get('x-request-id'), 'abc-1');
    const { headers, body } = ollama.asked[0]!;
    assert.equal(headers['x-request-id'], 'abc-1');
    assert.equal(headers['traceparent'], `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`);
    assert.equal(body, '{"model":"tiny","messages":[{"role":"user","content":"hi"}]}');
    const line = await finished;
    assert.deepEqual(
      [line['outcome'], line['backend'], line['prompt_tokens'], line['output_tokens'], line['status']],
      ['ok', 'b1', 5, 2, 200],
    );
  });

  it('shows the backend its own Host and nothing that is the client’s alone', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    await gateway
      .chat(
        {},
        {
          headers: {
            authorization: 'Bearer secret',
            'x-api-key': 'secret',
            cookie: 'a=b',
            origin: 'http://localhost:3000',
            referer: 'http://localhost:3000/x',
            'x-forwarded-for': '10.0.0.1',
            'anthropic-version': '2023-06-01',
          },
        },
      )
      .then((answer) => answer.text());
    const { headers } = ollama.asked[0]!;
    assert.equal(headers.host, `127.0.0.1:${ollama.port}`);
    assert.equal(headers['anthropic-version'], '2023-06-01');
    for (const name of ['authorization', 'x-api-key', 'cookie', 'origin', 'referer', 'x-forwarded-for']) {
      assert.equal(headers[name], undefined, name);
    }
  });

  it('stops reading from the backend while the client does not read', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    const stuck = Promise.withResolvers<number>();
    const line = Buffer.from(chatLine('x'.repeat(60_000)));
    ollama.handler = (asked) => {
      startStream(asked);
      let sent = 0;
      const more = (): void => {
        // The kernel takes what both sockets buffer; 64 MiB is far beyond that.
        if (sent > 64 * 1024 * 1024) return asked.response.destroy() && undefined;
        sent += line.length;
        if (asked.response.write(line)) setImmediate(more);
        else {
          stuck.resolve(sent);
          asked.response.once('drain', more);
        }
      };
      more();
    };
    const controller = new AbortController();
    const answer = await gateway.chat({}, { signal: controller.signal });
    const sent = await stuck.promise;
    assert.ok(sent < 64 * 1024 * 1024, 'the backend had to wait');
    const { aborted } = ollama.asked[0]!;
    controller.abort();
    await aborted;
    await answer.body?.cancel().catch(() => {});
  });
});
