import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { startGateway } from '../support/gateway.ts';
import { keyFile, testFolder } from '../support/keys.ts';

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

describe('a limit on requests', () => {
  it('is per client, is told with every answer, and says when to come again', async (t) => {
    const { ask, gateway, keys, path } = await setUp(t);
    await gateway.reload(
      `clients: {keys: ${JSON.stringify(path)}}\nprofiles: {plain: {requests: {limit: 2, window: 1h}}}`,
    );
    const told = async (key: string) => {
      const answer = await ask('/api/tags', bearer(key));
      const fields = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'retry-after'].map((name) =>
        answer.headers.get(name),
      );
      return { answer, told: [answer.status, ...fields.slice(0, 2), Number(fields[2]) > 3500] };
    };
    assert.deepEqual((await told(keys.ana)).told, [200, '2', '1', false]);
    assert.deepEqual((await told(keys.ana)).told, [200, '2', '0', false]);
    const { answer, told: last } = await told(keys.ana);
    assert.deepEqual(last, [429, '2', '0', true]);
    assert.match(((await answer.json()) as { error: string }).error, /^too many requests; try again in \d+ s$/);
    assert.equal((await told(keys.narrow)).answer.status, 200);
    const free = await ask('/api/tags', bearer(keys.ops));
    assert.deepEqual([free.status, free.headers.get('x-ratelimit-limit')], [200, null]);
    assert.equal(await gateway.metric('llamero_auth_total', { outcome: 'rate-limited' }), 1);
  });

  it('of an address holds whoever asks from there, before anybody looks at a key', async (t) => {
    const { ask, gateway, keys, path } = await setUp(t);
    await gateway.reload(`clients: {keys: ${JSON.stringify(path)}, requests: {limit: 3, window: 1h}}`);
    const statuses = [];
    for (const key of ['a', 'b', 'c', 'd', keys.ana]) statuses.push((await ask('/api/tags', bearer(key))).status);
    assert.deepEqual(statuses, [401, 401, 401, 429, 429]);
    assert.equal((await ask('/livez')).status, 200);
  });
});

describe('the ollama command with OLLAMA_AUTH', () => {
  it('comes in by its own signature, with and without a prefix of the path, and nobody else by it', async (t) => {
    const ollama = await fakeOllama(t);
    const folder = await testFolder(t);
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    const blob = Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), raw]).toString('base64');
    const file = join(folder, 'authorized_keys');
    await writeFile(file, `ssh-ed25519 ${blob} ana@desk\n`);
    const gateway = await startGateway(t, [ollama], { config: `clients: {authorizedKeys: ${JSON.stringify(file)}}` });
    const send = (method: string, path: string, signedPath = path) => {
      const ts = Math.floor(Date.now() / 1000);
      const signature = sign(null, Buffer.from(`${method},${signedPath}?ts=${ts}`), privateKey).toString('base64');
      return fetch(`${gateway.url}${path}?ts=${ts}`, { method, headers: { authorization: `${blob}:${signature}` } });
    };
    assert.equal((await send('GET', '/api/tags')).status, 200);
    assert.equal((await send('GET', '/k/anything/api/ps', '/api/ps')).status, 200);
    assert.equal((await send('GET', '/v1/models', '/api/tags')).status, 401);
    assert.equal(await gateway.metric('llamero_auth_total', { outcome: 'bad-signature' }), 1);
    assert.equal(await gateway.metric('llamero_auth_total', { outcome: 'cli' }), 2);
  });
});
