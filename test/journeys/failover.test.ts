import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerChat, chatLine, fakeOllama, startStream, type Asked } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

/** Two backends, of which the first fails every request in the way given, and enough requests that both are met. */
const ways: Record<string, (asked: Asked) => void> = {
  'resets the connection': ({ response }) => response.destroy(),
  'answers 502': ({ response }) => void response.writeHead(502).end('{"error":"bad gateway"}'),
  'answers 503': ({ response }) => void response.writeHead(503).end('{"error":"starting"}'),
  'answers 504': ({ response }) => void response.writeHead(504).end('{"error":"slow"}'),
  'has a full queue': ({ response }) =>
    void response.writeHead(503).end('{"error":"server busy, please try again.  maximum pending requests exceeded"}'),
  'answers no HTTP': ({ response }) => response.socket?.end('gibberish\r\n\r\n'),
};

describe('failover before the first byte', () => {
  for (const [way, handler] of Object.entries(ways)) {
    it(`serves from another backend when one ${way}`, async (t) => {
      const bad = await fakeOllama(t, { handler });
      const good = await fakeOllama(t);
      const gateway = await startGateway(t, [bad, good], { config: 'policy: round-robin\n' });
      const attempts = new Set<string | null>();
      for (let request = 0; request < 4; request += 1) {
        const answer = await gateway.chat();
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get('x-llamero-backend'), 'b2');
        attempts.add(answer.headers.get('x-llamero-attempts'));
        await answer.text();
      }
      assert.ok(bad.asked.length > 0);
      assert.ok(attempts.has('2'));
      assert.ok((await gateway.metric('llamero_failovers_total')) > 0);
    });
  }

  it('serves from another backend when one refuses the connection', async (t) => {
    const [bad, good] = [await fakeOllama(t), await fakeOllama(t)];
    // Without probes in between, the gateway learns of the death by the request alone.
    const gateway = await startGateway(t, [bad, good], { config: 'policy: round-robin\nhealth: {fallAfter: 1000}\n' });
    await bad.kill();
    for (let request = 0; request < 4; request += 1) {
      const answer = await gateway.chat();
      assert.equal(answer.headers.get('x-llamero-backend'), 'b2');
      await answer.text();
    }
    assert.equal(good.asked.length, 4);
    await bad.revive();
  });

  it('goes on to whoever accepts when several refuse, for nothing was sent to them', async (t) => {
    const [one, two, three, good] = [
      await fakeOllama(t),
      await fakeOllama(t),
      await fakeOllama(t),
      await fakeOllama(t),
    ];
    const gateway = await startGateway(t, [one, two, three, good], {
      config: 'policy: round-robin\nhealth: {fallAfter: 1000}\n',
    });
    const dead = [one, two, three];
    for (const ollama of dead) await ollama.kill();
    const answer = await gateway.chat();
    assert.equal(answer.headers.get('x-llamero-backend'), 'b4');
    assert.equal(answer.status, 200);
    for (const ollama of dead) await ollama.revive();
  });

  it('waits for one to come back when all refuse, as it does when all are known to be down', async (t) => {
    const only = await fakeOllama(t);
    const gateway = await startGateway(t, [only], { config: 'health: {fallAfter: 1000}\n' });
    await only.kill();
    const answer = gateway.chat();
    while (gateway.app.view()[0]!.state !== 'down') await new Promise((resolve) => setImmediate(resolve));
    await only.revive();
    assert.equal((await answer).status, 200);
  });

  it('says when to come back if none comes back in time', async (t) => {
    const only = await fakeOllama(t);
    const gateway = await startGateway(t, [only], { config: 'queue: {timeout: 200ms}\nhealth: {fallAfter: 1000}\n' });
    await only.kill();
    const answer = await gateway.chat();
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    await only.revive();
  });

  it('does not take a backend for broken because it has died with requests once', async (t) => {
    const [one, two] = [await fakeOllama(t), await fakeOllama(t)];
    const backends = [one, two].map(({ url }) => ({ url, slots: 20 }));
    const gateway = await startGateway(t, backends, { config: 'policy: round-robin\nretry: {budget: 1}\n' });
    const hold = ({ response }: Asked) => void response.on('error', () => {});
    one.handler = hold;
    two.handler = answerChat;
    const asked = Array.from({ length: 20 }, () => gateway.chat());
    while (one.asked.length < 10) await new Promise((resolve) => setImmediate(resolve));
    await one.kill();
    for (const answer of await Promise.all(asked)) assert.equal(answer.status, 200);
    one.handler = answerChat;
    await one.revive();
    while (gateway.app.view()[0]!.state !== 'up') await new Promise((resolve) => setImmediate(resolve));
    assert.equal(gateway.app.view()[0]!.breaker, 'closed');
    const states = gateway.log.flatMap((line) => (line['backend'] === 'b1' && 'to' in line ? [line['to']] : []));
    assert.ok(!states.includes('ejected') && !states.includes('open'), states.join());
  });

  it('asks at most two backends, and passes on what the second answered', async (t) => {
    const handler = ways['answers 503']!;
    const all = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const gateway = await startGateway(t, all);
    const answer = await gateway.chat();
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get('retry-after'), '1');
    assert.deepEqual(await answer.json(), { error: 'starting' });
    assert.equal(
      all.reduce((sum, { asked }) => sum + asked.length, 0),
      2,
    );
  });

  it('does not repeat a client’s mistake elsewhere, and passes the answer unchanged', async (t) => {
    const body = '{"error":"option \\"num_ctx\\" must be of type integer"}';
    const handler = ({ response }: Asked) =>
      void response.writeHead(500, { 'Content-Type': 'application/json; charset=utf-8' }).end(body);
    const all = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const gateway = await startGateway(t, all);
    const answer = await gateway.chat();
    assert.deepEqual([answer.status, await answer.text()], [500, body]);
    assert.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(all[0]!.asked.length + all[1]!.asked.length, 1);
  });

  it('passes on what the backend said when there is no other to try', async (t) => {
    const only = await fakeOllama(t, {
      handler: ({ response }) => void response.writeHead(500).end('{"error":"llama-server process has terminated"}'),
    });
    const gateway = await startGateway(t, [only]);
    const answer = await gateway.chat();
    assert.deepEqual([answer.status, await answer.text()], [500, '{"error":"llama-server process has terminated"}']);
    assert.equal(await gateway.metric('llamero_retries_total'), 0);
    only.handler = ({ response }) => void response.destroy();
    assert.equal((await gateway.chat()).status, 502);
  });

  it('never tries again after the first byte', async (t) => {
    const handler = async (asked: Asked) => {
      startStream(asked);
      await new Promise((resolve) => asked.response.write(chatLine('one'), resolve));
      asked.response.destroy();
    };
    const all = [await fakeOllama(t, { handler }), await fakeOllama(t, { handler })];
    const gateway = await startGateway(t, all);
    const answer = await gateway.chat();
    await answer.text().catch(() => {});
    assert.equal(all[0]!.asked.length + all[1]!.asked.length, 1);
  });

  it('brings a backend back within two probes of its return', async (t) => {
    const [one, two] = [await fakeOllama(t), await fakeOllama(t)];
    const gateway = await startGateway(t, [one, two], { config: 'policy: round-robin\nhealth: {slowStart: 0}\n' });
    await one.kill();
    await (await gateway.chat()).text();
    await (await gateway.chat()).text();
    while (gateway.app.view()[0]!.state === 'up') await new Promise((resolve) => setImmediate(resolve));
    const before = one.probes;
    await one.revive();
    while (gateway.app.view()[0]!.state !== 'up') await new Promise((resolve) => setImmediate(resolve));
    const looks = one.probes - before;
    assert.ok(looks <= 4, `${looks} probe requests: two of the version, and tags and ps`);
  });
});

describe('a backend lost after the first byte', () => {
  const cases = [
    { path: '/api/chat', start: chatLine('one'), said: /^\{"error":".+"\}$/m, marker: /"done":true/ },
    {
      path: '/v1/chat/completions',
      start: 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
      said: /^data: \{"error":\{"message":/m,
      marker: /\[DONE\]/,
    },
    {
      path: '/v1/messages',
      start: 'event: message_start\ndata: {"type":"message_start"}\n\n',
      said: /^event: error\ndata: \{"type":"error"/m,
      marker: /message_stop/,
    },
    {
      path: '/v1/responses',
      start: 'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n',
      said: /response\.failed|"type":"error"/,
      marker: /response\.completed/,
    },
  ];
  for (const { path, start, said, marker } of cases) {
    for (const how of ['cut', 'ended without its marker'] as const) {
      it(`is told in the dialect of ${path} when it was ${how}`, async (t) => {
        const ollama = await fakeOllama(t, {
          async handler(asked) {
            startStream(asked);
            await new Promise((resolve) => asked.response.write(start, resolve));
            if (how === 'cut') asked.response.destroy();
            else asked.response.end();
          },
        });
        const gateway = await startGateway(t, [ollama]);
        const finished = gateway.finished((line) => line['route'] === path);
        const body = JSON.stringify({
          model: 'tiny',
          stream: true,
          max_tokens: 5,
          messages: [{ role: 'user', content: 'hi' }],
          input: 'hi',
        });
        const answer = await fetch(gateway.url + path, { method: 'POST', body });
        let text = '';
        let whole = true;
        try {
          for await (const chunk of answer.body!) text += new TextDecoder().decode(chunk as Uint8Array);
        } catch {
          whole = false;
        }
        assert.ok(text.startsWith(start), text);
        assert.match(text.slice(start.length), said);
        assert.doesNotMatch(text, marker);
        assert.equal(whole, false, 'nobody takes it for a whole answer');
        const line = await finished;
        assert.equal(line['outcome'], how === 'cut' ? 'backend-lost' : 'backend-truncated');
        assert.equal(await gateway.metric('llamero_stream_aborted_total', { backend: 'b1' }), 1);
      });
    }
  }

  it('cuts a plain answer so that it cannot be read as whole', async (t) => {
    const ollama = await fakeOllama(t, {
      async handler({ response }) {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
        await new Promise((resolve) => response.write('{"model":"tiny",', resolve));
        response.destroy();
      },
    });
    const gateway = await startGateway(t, [ollama]);
    const answer = await gateway.chat({ stream: false });
    await assert.rejects(answer.text());
  });
});

it('never mixes two answers', async (t) => {
  const ollama = await fakeOllama(t, { handler: answerChat });
  const gateway = await startGateway(t, [ollama]);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => gateway.chat({ stream: index % 2 === 0 }).then((answer) => answer.text())),
  );
  for (const [index, text] of answers.entries()) assert.equal(text.split('\n').length > 1, index % 2 === 0);
});
