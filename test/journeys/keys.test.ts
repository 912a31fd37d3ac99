import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { keyFile } from '../support/keys.ts';

async function setUp(t: TestContext, config = '') {
  const ollama = await fakeOllama(t, { models: ['tiny:latest', 'other:7b', 'big:cloud'] });
  const { keys, path } = await keyFile(t, {
    ana: {},
    ops: { profile: 'operator' },
    narrow: { models: ['tiny'] },
    webui: { speaksForUsers: true },
    gone: { revoked: '2026-11-24T00:00:00.000Z' },
    old: { expires: '2026-11-24T00:00:00.000Z' },
    homeless: { profile: 'no-such-profile' },
  });
  const gateway = await startGateway(t, [ollama], {
    config: config.includes('clients:') ? config : `clients: {keys: ${JSON.stringify(path)}}\n${config}`,
  });
  const ask = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
    fetch(gateway.url + path, { headers, ...init });
  const chat = (headers: Record<string, string>, model = 'tiny') => gateway.chat({ model, stream: false }, { headers });
  return { ollama, gateway, keys, path, ask, chat };
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe('a key', () => {
  it('is taken from wherever a client can put one, and goes no further', async (t) => {
    const { chat, gateway, keys, ollama } = await setUp(t);
    const { ana } = keys;
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
    for (const headers of [
      bearer(ana),
      { authorization: `bearer  ${ana}` },
      { 'x-api-key': ana },
      basic(`anybody:${ana}`),
      { authorization: 'Bearer placeholder', 'x-api-key': ana },
    ] as Record<string, string>[]) {
      const finished = gateway.finished();
      const answer = await chat(headers);
      assert.equal(answer.status, 200, JSON.stringify(headers));
      await answer.arrayBuffer();
      assert.equal((await finished)['client'], 'key:ana');
    }
    const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hi' }], stream: false });
    for (const path of [`/k/${ana}/api/chat`, `//k/${ana}//api/chat`, `/k/${ana}/v1/chat/completions`]) {
      const answer = await fetch(gateway.url + path, { method: 'POST', body });
      assert.equal(answer.status, 200, path);
      await answer.arrayBuffer();
    }
    for (const { headers, path } of ollama.asked) {
      assert.ok(!JSON.stringify([headers, path]).includes(ana.slice(-20)), path);
    }
  });

  it('is asked for in words of the dialect, and of whoever shows them', async (t) => {
    const { ask, gateway, keys, ollama } = await setUp(t);
    const post = async (path: string, headers: Record<string, string> = {}) => {
      const answer = await ask(path, headers, { method: 'POST', body: '{"model":"tiny"}' });
      return { answer, body: (await answer.json()) as Record<string, Record<string, string> & string> };
    };
    const native = await post('/api/chat');
    assert.equal(native.answer.status, 401);
    assert.equal(native.answer.headers.get('www-authenticate'), 'Bearer realm="llamero"');
    assert.match(native.body['error']!, /^this gateway asks for a key: /);
    assert.equal((await post('/v1/chat/completions')).body['error']!['type'], 'authentication_error');
    assert.equal((await post('/v1/messages')).body['error']!['type'], 'authentication_error');
    assert.equal((await post('/v1/nothing/known')).answer.status, 401);
    // The command hides the text of a 401 behind advice to sign in to ollama.com.
    const command = await post('/api/show', { 'user-agent': 'ollama/0.33.0 (amd64 linux) Go/go1.26.0' });
    assert.deepEqual([command.answer.status, command.body['error']], [403, native.body['error']]);
    const library = await post('/api/show', { 'user-agent': 'ollama-python/0.6.1 (x86_64 linux) Python/3.12.0' });
    assert.equal(library.answer.status, 401);
    for (const [key, words] of [
      [`${keys.ana}x`, /does not know this key/],
      ['ollama', /does not know this key/],
      [keys.gone, /has been revoked/],
      [keys.old, /has expired/],
    ] as const) {
      const { answer, body } = await post('/api/chat', bearer(key));
      assert.equal(answer.status, 401);
      assert.match(body['error']!, words);
    }
    assert.equal(ollama.asked.length, 0);
    assert.ok(gateway.log.filter(({ outcome }) => outcome === 'unauthorized').length > 0);
  });

  it('is not asked for by who only looks whether anybody is there', async (t) => {
    const { ask } = await setUp(t);
    for (const [method, path] of [
      ['HEAD', '/'],
      ['GET', '/'],
      ['GET', '/livez'],
      ['GET', '/readyz'],
      ['GET', '/metrics'],
    ] as const) {
      assert.equal((await ask(path, {}, { method })).status, 200, `${method} ${path}`);
    }
    assert.equal((await ask('/api/version')).status, 401);
  });

  it('gives what its profile has, and nothing when that is gone', async (t) => {
    const { ask, chat, keys, ollama } = await setUp(t);
    const pull = (key: string) =>
      ask('/api/pull', bearer(key), { method: 'POST', body: '{"model":"x","stream":false}' });
    ollama.handler = ({ response }) => void response.end('{"status":"success"}');
    const refused = await pull(keys.ana);
    assert.deepEqual(
      [refused.status, await refused.json()],
      [403, { error: 'this needs the scope `models:write`, which the profile of the caller does not have' }],
    );
    assert.equal((await pull(keys.ops)).status, 200);
    assert.equal((await chat(bearer(keys.homeless))).status, 403);
    assert.equal((await chat(bearer(keys.ana), 'big:cloud')).status, 403);
    assert.equal((await chat(bearer(keys.ops), 'big:cloud')).status, 200);
  });

  it('shows and runs the models it lists, and no others', async (t) => {
    const { ask, chat, keys } = await setUp(t, 'models: {aliases: {small: tiny, large: "other:7b"}}');
    const names = async (key: string, path: string, field: string, name: string) => {
      const list = (await (await ask(path, bearer(key))).json()) as Record<string, Record<string, string>[]>;
      return list[field]!.map((entry) => entry[name]);
    };
    assert.deepEqual(await names(keys.narrow, '/api/tags', 'models', 'name'), ['tiny:latest', 'small']);
    assert.deepEqual(await names(keys.narrow, '/api/ps', 'models', 'name'), ['tiny:latest']);
    assert.deepEqual(await names(keys.narrow, '/v1/models', 'data', 'id'), ['tiny:latest', 'small']);
    assert.deepEqual(await names(keys.ana, '/api/tags', 'models', 'name'), [
      'other:7b',
      'tiny:latest',
      'small',
      'large',
    ]);
    assert.deepEqual(await names(keys.ops, '/api/ps', 'models', 'name'), ['big:cloud', 'other:7b', 'tiny:latest']);
    const one = (key: string, id: string) => ask(`/v1/models/${id}`, bearer(key));
    assert.deepEqual(
      await Promise.all(['tiny', 'small', 'other:7b', 'large'].map(async (id) => (await one(keys.narrow, id)).status)),
      [200, 200, 404, 404],
    );
    const show = (model: string) =>
      ask('/api/show', bearer(keys.narrow), { method: 'POST', body: JSON.stringify({ model }) });
    assert.deepEqual([(await show('tiny')).status, (await show('other:7b')).status], [200, 403]);
    assert.deepEqual(
      await Promise.all(
        ['tiny', 'small', 'TINY:latest', 'other:7b', 'large'].map(
          async (model) => (await chat(bearer(keys.narrow), model)).status,
        ),
      ),
      [200, 200, 200, 403, 403],
    );
  });

  it('that may speak for users makes each of them a client', async (t) => {
    const { gateway, keys, path } = await setUp(t);
    await gateway.reload(`clients: {keys: ${JSON.stringify(path)}, users: {}}`);
    const clientOf = async (key: string, user: string) => {
      const finished = gateway.finished();
      await (await gateway.chat({}, { headers: { ...bearer(key), 'x-openwebui-user-id': user } })).arrayBuffer();
      return (await finished)['client'];
    };
    assert.equal(await clientOf(keys.webui, 'u-17'), 'user:u-17');
    assert.equal(await clientOf(keys.webui, 'two words'), 'key:webui');
    assert.equal(await clientOf(keys.ana, 'u-17'), 'key:ana');
  });
});

describe('an open gateway', () => {
  it('knows a client by its address, or by a key it happens to have', async (t) => {
    const { chat, gateway, keys, path } = await setUp(t);
    await gateway.reload(`auth: open\nclients: {keys: ${JSON.stringify(path)}, anonymous: plain}`);
    for (const [headers, client] of [
      [{}, '127.0.0.1'],
      [bearer('ollama'), '127.0.0.1'],
      [bearer(keys.gone), '127.0.0.1'],
      [bearer(keys.ana), 'key:ana'],
    ] as const) {
      const finished = gateway.finished();
      const answer = await chat(headers);
      assert.equal(answer.status, 200);
      await answer.arrayBuffer();
      assert.equal((await finished)['client'], client);
    }
    const pull = await fetch(`${gateway.url}/api/pull`, { method: 'POST', body: '{"model":"x"}' });
    assert.equal(pull.status, 403);
  });

  it('may be open to some networks only', async (t) => {
    const { chat, gateway, path } = await setUp(t);
    const withNetwork = (network: string) =>
      gateway.reload(`clients: {keys: ${JSON.stringify(path)}, networks: {'${network}': plain}}`);
    await withNetwork('127.0.0.0/8');
    assert.equal((await chat({})).status, 200);
    await withNetwork('127.0.0.2');
    assert.equal((await chat({})).status, 401);
  });

  it('believes a front that is named what users it asks for', async (t) => {
    const { chat, gateway, path } = await setUp(t);
    const finished = gateway.finished(({ outcome }) => outcome === 'ok');
    await gateway.reload(`clients: {keys: ${JSON.stringify(path)}, users: {header: x-user, from: [127.0.0.1]}}`);
    assert.equal((await chat({})).status, 401);
    await (await chat({ 'x-user': 'ana@example.org' })).arrayBuffer();
    assert.equal((await finished)['client'], 'user:ana@example.org');
  });
});
