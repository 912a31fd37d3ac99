import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import { describe, it } from 'node:test';
import { fakeOllama, type Asked } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';

const config = `
models:
  aliases: {gpt-4o: tiny}
  rules:
    - {match: [tiny], numCtx: 4096, maxKeepAlive: 10m}
    - {match: [big], fallback: [tiny]}
`;

describe('the operator’s rules about models', () => {
  it('run another model under an alias, and change only what they are about', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config });
    await (await gateway.chat({ model: 'gpt-4o', keep_alive: -1, seed: 7 })).text();
    assert.deepEqual(JSON.parse(ollama.asked[0]!.body), {
      model: 'tiny',
      messages: [{ role: 'user', content: 'hi' }],
      keep_alive: 600,
      seed: 7,
      options: { num_ctx: 4096 },
    });
    for (const kind of ['alias', 'num-ctx', 'keep-alive']) {
      assert.equal(await gateway.metric('llamero_requests_rewritten_total', { kind }), 1, kind);
    }
  });

  it('fall back to a model that can be had', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config });
    await (await gateway.chat({ model: 'big' })).text();
    assert.equal((JSON.parse(ollama.asked[0]!.body) as { model: string }).model, 'tiny');
  });

  it('show the model an alias stands for', async (t) => {
    const handler = ({ body, response }: Asked) => void response.end(JSON.stringify({ asked: body }));
    const ollama = await fakeOllama(t, { handler });
    const gateway = await startGateway(t, [ollama], { config });
    const answer = await fetch(`${gateway.url}/api/show`, { method: 'POST', body: '{"model":"gpt-4o"}' });
    assert.deepEqual(await answer.json(), { asked: '{"model":"tiny"}' });
  });

  it('show aliases in the lists', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config });
    const tags = (await (await fetch(`${gateway.url}/api/tags`)).json()) as { models: { name: string }[] };
    assert.deepEqual(
      tags.models.map(({ name }) => name),
      ['tiny:latest', 'gpt-4o'],
    );
    const models = (await (await fetch(`${gateway.url}/v1/models`)).json()) as { data: { id: string }[] };
    assert.deepEqual(
      models.data.map(({ id }) => id),
      ['tiny:latest', 'gpt-4o'],
    );
    assert.equal((await fetch(`${gateway.url}/v1/models/gpt-4o`)).status, 200);
  });

  it('reach into compressed bodies, which then go on plain', async (t) => {
    const ollama = await fakeOllama(t, { handler: ({ response }) => void response.end('{"id":"x","choices":[]}') });
    const gateway = await startGateway(t, [ollama], { config });
    const body = zstdCompressSync(JSON.stringify({ model: 'gpt-4o', messages: [] }));
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      body,
      headers: { 'content-encoding': 'zstd' },
    });
    await answer.text();
    const [asked] = ollama.asked;
    assert.equal(asked!.headers['content-encoding'], undefined);
    assert.deepEqual(JSON.parse(asked!.body), { model: 'tiny', messages: [] });
  });

  it('leave every byte alone when none is set', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    const body = '{ "model" : "tiny","messages":[{"role":"user","content":"hi"}] ,"x":1.50 }';
    await (await fetch(`${gateway.url}/api/chat`, { method: 'POST', body })).text();
    assert.equal(ollama.asked[0]!.body, body);
  });
});
