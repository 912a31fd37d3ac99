import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import { describe, it } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import { realSystem, type System } from '../../src/system.ts';
import { chatLine, fakeOllama, startStream, type Asked } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { simulatedOllama } from '../support/simulated.ts';

function post(gateway: Gateway, path: string, body: unknown): Promise<Response> {
  return fetch(gateway.url + path, { method: 'POST', body: JSON.stringify(body) });
}

const question = { model: 'tiny', messages: [{ role: 'user' as const, content: 'hi' }] };

describe('a compressed request', () => {
  it('is read, and passed on as it came', async (t) => {
    const ollama = await fakeOllama(t);
    const bodies: Buffer[] = [];
    const gateway = await startGateway(t, [ollama]);
    const answered = gateway.finished();
    ollama.handler = ({ headers, response }) => {
      bodies.push(Buffer.from(String(headers['content-encoding'])));
      response.setHeader('Content-Type', 'application/json');
      response.end('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n');
    };
    const body = zstdCompressSync(Buffer.from(JSON.stringify(question)));
    const send = (path: string) =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: { 'content-encoding': 'zstd', 'content-type': 'application/json' },
        body: new Uint8Array(body),
      });
    assert.equal((await send('/v1/chat/completions')).status, 200);
    assert.equal(bodies[0]!.toString(), 'zstd');
    assert.equal(ollama.asked[0]!.body, body.toString());
    assert.equal((await answered)['model'], 'tiny:latest');
    // Elsewhere Ollama does not decompress, and neither do we.
    const elsewhere = await send('/api/chat');
    assert.equal(elsewhere.status, 400);
    assert.match(await elsewhere.text(), /invalid character/);
  });

  it('that is broken, or too large once it is read, is left to a backend to refuse', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = ({ response }) => void response.writeHead(400).end('{"error":{"message":"its own words"}}');
    const gateway = await startGateway(t, [ollama]);
    const bomb = zstdCompressSync(Buffer.alloc(21 * 1024 * 1024, ' '));
    for (const body of [bomb, Buffer.from('not zstd')]) {
      const answer = await fetch(`${gateway.url}/v1/responses`, {
        method: 'POST',
        headers: { 'content-encoding': 'zstd' },
        body: new Uint8Array(body),
      });
      assert.deepEqual([answer.status, await answer.text()], [400, '{"error":{"message":"its own words"}}']);
    }
  });
});

describe('an OpenAI stream whose client did not ask for usage', () => {
  it('is counted, and its client gets the bytes it would have got', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], seed: 5 });
    const gateway = await startGateway(t, [simulated]);
    for (const path of ['/v1/chat/completions', '/v1/completions']) {
      const body = { model: 'tiny', stream: true, seed: 7, max_tokens: 6, prompt: 'hi', messages: question.messages };
      const finished = gateway.finished();
      const through = await (await post(gateway, path, body)).text();
      const { body: sentBody } = simulated.control.journal.requests.find(({ target }) => target === path)!;
      const sent = JSON.parse(sentBody) as { stream_options?: unknown };
      assert.deepEqual(sent.stream_options, { include_usage: true });
      const direct = await (await fetch(simulated.url + path, { method: 'POST', body: JSON.stringify(body) })).text();
      const same = (text: string) => text.replace(/cmpl-\d+/g, 'cmpl-0').replace(/"created":\d+/g, '"created":0');
      assert.ok(!through.includes('"usage"'));
      assert.equal(same(through), same(direct));
      const line = await finished;
      assert.equal(line['output_tokens'], 6);
      assert.ok(Number(line['prompt_tokens']) > 0);
    }
  });

  it('gets the same under a content type that is not one of a stream', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], answerTokens: 4 });
    simulated.control.faults.add({ kind: 'content-type', value: 'text/plain' });
    const gateway = await startGateway(t, [simulated]);
    const text = await (await post(gateway, '/v1/chat/completions', { ...question, stream: true })).text();
    assert.match(text, /"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/);
    assert.ok(!text.includes('"usage"'));
  });

  it('keeps its usage when the client asked, and is not touched when that is configured', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const gateway = await startGateway(t, [simulated]);
    const asking = { ...question, stream: true, stream_options: { include_usage: true } };
    assert.match(await (await post(gateway, '/v1/chat/completions', asking)).text(), /"usage":\{/);
    const untouched = await startGateway(t, [simulated], { config: 'streams: {countTokens: false}' });
    await (await post(untouched, '/v1/chat/completions', { ...question, stream: true })).text();
    const last = simulated.control.journal.requests.findLast(({ method }) => method === 'POST')!;
    assert.equal(last.body, JSON.stringify({ ...question, stream: true }));
  });

  it('loses nothing that was held back when it is cut', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho');
      setImmediate(() => asked.response.destroy());
    };
    const gateway = await startGateway(t, [ollama], { config: 'retry: {backends: 1}' });
    const answer = await post(gateway, '/v1/chat/completions', { ...question, stream: true });
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of answer.body!) text += Buffer.from(chunk as Uint8Array).toString();
    });
    assert.match(text, /^data: \{"choices".*\}\n\ndata: \{"cho\n\ndata: \{"error":\{"message":"backend b1 was lost/);
  });
});

/** Due at once, and often. */
const hurried = 'streams: {heartbeat: 1ms, heartbeatInterval: 100ms}';

async function held(
  t: Parameters<typeof fakeOllama>[0],
  handler: (asked: Asked) => void,
): Promise<{ gateway: Gateway; release: () => void }> {
  const ollama = await fakeOllama(t);
  const open = Promise.withResolvers<void>();
  ollama.handler = async (asked) => {
    await open.promise;
    handler(asked);
  };
  return { gateway: await startGateway(t, [ollama], { config: hurried }), release: open.resolve };
}

/** Reads until a piece has come, then lets `release` go on; resolves with the whole text. */
async function readSlowly(answer: Response, release: () => void): Promise<string> {
  let text = '';
  for await (const chunk of answer.body!) {
    text += Buffer.from(chunk as Uint8Array).toString();
    release();
  }
  return text;
}

describe('a sign of life', () => {
  it('comes while nothing else does, and the answer follows as it is', async (t) => {
    const { gateway, release } = await held(t, (asked) => {
      startStream(asked);
      asked.response.end(chatLine('hello') + chatLine('', true));
    });
    const answer = await gateway.chat();
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
    const text = await readSlowly(answer, release);
    const lines = text.trimEnd().split('\n');
    assert.equal(lines.slice(-2).join('\n'), (chatLine('hello') + chatLine('', true)).trimEnd());
    for (const line of lines.slice(0, -2)) {
      assert.match(
        line,
        /^\{"model":"tiny","created_at":"[^"]+Z","message":\{"role":"assistant","content":""\},"done":false\}$/,
      );
    }
    assert.ok(lines.length > 2);
  });

  it('is understood by the clients of every API', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'], loadMs: 300 });
    const gateway = await startGateway(t, [simulated], { config: hurried });
    const stop = () =>
      fetch(`${gateway.url}/api/generate`, { method: 'POST', body: '{"model":"tiny","keep_alive":0}' });
    let said = '';
    for await (const part of await new Ollama({ host: gateway.url }).chat({ ...question, stream: true })) {
      said += part.message.content;
    }
    await (await stop()).text();
    const openai = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'x', maxRetries: 0 });
    let chunks = 0;
    for await (const chunk of await openai.chat.completions.create({ ...question, stream: true })) {
      chunks += chunk.choices.length;
    }
    await (await stop()).text();
    const anthropic = new Anthropic({ baseURL: gateway.url, apiKey: 'x', maxRetries: 0 });
    const message = await anthropic.messages.stream({ ...question, max_tokens: 50 }).finalMessage();
    assert.ok(said.length > 0 && chunks > 0 && message.content.length > 0);
  });

  it('turns a later failure into an error of the stream, whether ours or the backend’s', async (t) => {
    const failing = await held(t, ({ response }) => void response.writeHead(500).end('{"error":"out of memory"}'));
    const told = await readSlowly(await failing.gateway.chat(), failing.release).catch((error: unknown) =>
      String(error),
    );
    assert.match(told, /terminated|\{"error":"out of memory"\}\n$/);
    const line = failing.gateway.log.find(({ msg }) => msg === 'request')!;
    assert.deepEqual([line['status'], line['outcome']], [200, 'backend-unavailable']);

    const lost = await held(t, ({ response }) => void response.destroy());
    const finished = lost.gateway.finished();
    await readSlowly(await lost.gateway.chat(), lost.release).catch(() => '');
    assert.equal((await finished)['outcome'], 'backend-reset');
  });

  it('does not keep a request from being tried elsewhere', async (t) => {
    const [bad, good] = [await fakeOllama(t), await fakeOllama(t)];
    const open = Promise.withResolvers<void>();
    bad.handler = async ({ response }) => {
      await open.promise;
      response.destroy();
    };
    const gateway = await startGateway(t, [bad, good], { config: `policy: round-robin\n${hurried}` });
    const answers = await Promise.all([gateway.chat(), gateway.chat()]);
    const texts = await Promise.all(answers.map((answer) => readSlowly(answer, open.resolve)));
    for (const text of texts) assert.ok(text.endsWith(chatLine('', true)));
  });

  it('tells a queue’s refusal in the stream', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = () => {};
    const clock = { ...realSystem.clock };
    const system: System = { ...realSystem, clock };
    const gateway = await startGateway(t, [{ ...ollama, slots: 1 }], {
      system,
      config: `${hurried}\nqueue: {timeout: 150ms, refuseEarly: false}`,
    });
    const first = ollama.next();
    const holding = new AbortController();
    gateway.chat({}, { signal: holding.signal }).catch(() => {});
    await first;
    const finished = gateway.finished();
    const answer = await gateway.chat();
    await readSlowly(answer, () => {}).catch(() => '');
    assert.deepEqual([answer.status, (await finished)['outcome']], [200, 'queue-timeout']);
    holding.abort();
  });

  it('is not sent unless it is asked for, nor for what is no stream', async (t) => {
    const { gateway, release } = await held(t, (asked) => {
      asked.response.setHeader('Content-Type', 'application/json');
      asked.response.end('{"done":true}');
    });
    const answer = gateway.chat({ stream: false });
    release();
    assert.equal(await (await answer).text(), '{"done":true}');
  });
});
