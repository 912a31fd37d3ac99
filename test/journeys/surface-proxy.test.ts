import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { probesOnce, startGateway, type Gateway } from '../support/gateway.ts';
import { parseAnswer, exchangeBytes } from '../support/raw-http.ts';
import { simulatedOllama, simulatedOllamas } from '../support/simulated.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';

function post({ url }: Gateway, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url + path, { method: 'POST', headers, body: body === null ? null : JSON.stringify(body) });
}

const asked = ({ control }: SimulatedOllama, path: string): number =>
  control.journal.requests.filter(({ target }) => target.startsWith(path)).length;

const total = (sims: readonly SimulatedOllama[], path: string): number =>
  sims.reduce((sum, simulated) => sum + asked(simulated, path), 0);

describe('show', () => {
  it('is asked of a backend once for each model and request, and then answered from memory', async (t) => {
    const sims = await simulatedOllamas(t, 2, { models: ['tiny'] });
    const gateway = await startGateway(t, sims);
    const first = await post(gateway, '/api/show', { model: 'tiny' });
    const text = await first.text();
    assert.match(text, /"capabilities"/);
    assert.match(first.headers.get('x-llamero-backend')!, /^sim-/);
    for (let i = 0; i < 3; i += 1) {
      const again = await post(gateway, '/api/show', { model: 'tiny' });
      assert.equal(again.headers.get('x-llamero-cache'), 'hit');
      assert.equal(again.headers.get('content-type'), 'application/json; charset=utf-8');
      assert.equal(await again.text(), text);
    }
    assert.equal(total(sims, '/api/show'), 1);
    await post(gateway, '/api/show', { model: 'tiny', verbose: true });
    assert.equal(total(sims, '/api/show'), 2);
  });

  it('is asked again when the model has changed', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny', 'base'] });
    const gateway = await startGateway(t, [simulated], { config: probesOnce });
    const before = await (await post(gateway, '/api/show', { model: 'tiny' })).text();
    await (await post(gateway, '/api/create', { model: 'tiny', from: 'base', system: 'Be kind.' })).text();
    const after = await (await post(gateway, '/api/show', { model: 'tiny' })).text();
    assert.notEqual(before, after);
    assert.match(after, /Be kind/);
  });

  it('of a model that nobody has is 404 with the name as Ollama prints it', async (t) => {
    const simulated = await simulatedOllama(t, { models: ['tiny'] });
    const gateway = await startGateway(t, [simulated]);
    const answer = await post(gateway, '/api/show', { name: 'Nope' });
    assert.deepEqual([answer.status, await answer.text()], [404, `{"error":"model 'Nope:latest' not found"}`]);
    assert.equal(asked(simulated, '/api/show'), 0);
    const nameless = await post(gateway, '/api/show', {});
    assert.deepEqual([nameless.status, await nameless.text()], [400, '{"error":"model is required"}']);
  });

  it('does not wait for a slot', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [{ ...ollama, slots: 1 }]);
    ollama.handler = ({ path, response }) => {
      if (path === '/api/show') response.end('{"capabilities":[]}');
    };
    const hanging = ollama.next();
    const chat = gateway.chat().catch(() => null);
    await hanging;
    const answer = await post(gateway, '/api/show', { model: 'tiny' });
    assert.equal(await answer.text(), '{"capabilities":[]}');
    await ollama.kill();
    await chat;
  });

  it('goes to the next backend that has the model when one does not answer or has lost it', async (t) => {
    const [a, b, c] = await Promise.all([fakeOllama(t), fakeOllama(t), fakeOllama(t)]);
    a.handler = ({ response }) => void response.destroy();
    b.handler = ({ response }) => void response.writeHead(404).end('{"error":"model not found"}');
    c.handler = ({ response }) => void response.end('{"from":"c"}');
    const gateway = await startGateway(t, [a, b, c], { config: probesOnce });
    const answer = await post(gateway, '/api/show', { model: 'tiny' });
    assert.deepEqual([answer.status, await answer.text()], [200, '{"from":"c"}']);
    b.handler = a.handler;
    c.handler = a.handler;
    assert.equal((await post(gateway, '/api/show', { model: 'tiny', verbose: true })).status, 502);
  });
});

describe('unloading', () => {
  it('reaches every backend that has the model, without a slot, and ps knows', async (t) => {
    const sims = await simulatedOllamas(t, 3, { models: ['tiny'], slots: 1 });
    for (const { url } of sims) {
      await (await fetch(`${url}/api/generate`, { method: 'POST', body: '{"model":"tiny"}' })).text();
    }
    const gateway = await startGateway(t, sims, { config: probesOnce });
    const ps = async () =>
      ((await (await fetch(`${gateway.url}/api/ps`)).json()) as { models: unknown[] }).models.length;
    assert.equal(await ps(), 1);
    const answer = await post(gateway, '/api/generate', { model: 'tiny', keep_alive: 0 });
    assert.equal(answer.status, 200);
    const { done_reason: reason } = (await answer.json()) as { done_reason: string };
    assert.equal(reason, 'unload');
    assert.deepEqual(
      sims.map(({ control }) => control.machine.resident().length),
      [0, 0, 0],
    );
    assert.equal(await ps(), 0);
    assert.equal(answer.headers.get('x-llamero-backend'), 'sim-1,sim-2,sim-3');
  });

  it('passes the answer of one when others fail, and fails when all do', async (t) => {
    const [a, b] = await simulatedOllamas(t, 2, { models: ['tiny'] });
    const gateway = await startGateway(t, [a!, b!], { config: probesOnce });
    a!.control.faults.add({ kind: 'reset', path: '/api/generate' });
    assert.equal((await post(gateway, '/api/generate', { model: 'tiny', keep_alive: '0s' })).status, 200);
    assert.equal(await gateway.metric('llamero_attempt_failures_total', { backend: 'sim-1' }), 1);
    b!.control.faults.add({ kind: 'reset', path: '/api/chat' });
    a!.control.faults.add({ kind: 'reset', path: '/api/chat' });
    const answer = await post(gateway, '/api/chat', { model: 'tiny', messages: [], keep_alive: 0 });
    assert.equal(answer.status, 502);
  });

  it('of a model that nobody has is 404, and with every holder down 503', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    const unknown = await post(gateway, '/api/generate', { model: 'Nope', keep_alive: 0 });
    assert.deepEqual([unknown.status, await unknown.text()], [404, `{"error":"model 'Nope' not found"}`]);
    await ollama.kill();
    while (gateway.app.view()[0]!.state !== 'down') await fetch(`${gateway.url}/readyz`);
    const down = await post(gateway, '/api/generate', { model: 'tiny', keep_alive: 0 });
    assert.equal(down.status, 503);
  });
});

describe('what concerns a backend itself', () => {
  it('is asked of the first that is healthy, in the order of the configuration', async (t) => {
    const sims = await simulatedOllamas(t, 2, { account: 'ada' });
    const gateway = await startGateway(t, sims);
    const status = await fetch(`${gateway.url}/api/status`);
    assert.deepEqual(await status.json(), { cloud: { disabled: true, source: 'env' } });
    assert.equal(status.headers.get('x-llamero-backend'), 'sim-1');
    const me = await post(gateway, '/api/me', null, { 'content-type': 'application/json' });
    assert.equal(((await me.json()) as { name: string }).name, 'ada');
    const list = await fetch(`${gateway.url}/api/experimental/model-recommendations`);
    assert.equal(list.status, 200);
    const search = await post(
      gateway,
      '/api/experimental/web_search',
      { query: 'llamas' },
      { authorization: 'Bearer x' },
    );
    assert.equal(search.status, 403);
    assert.equal(asked(sims[1]!, '/api/me') + asked(sims[1]!, '/api/experimental'), 0);
    const { headers } = sims[0]!.control.journal.requests.find(({ target }) => target.endsWith('web_search'))!;
    assert.ok(!headers.some(([name]) => name.toLowerCase() === 'authorization'));
  });

  it('is asked of another by name, and of the next when the first does not answer', async (t) => {
    const sims = await simulatedOllamas(t, 2, { account: 'ada' });
    const gateway = await startGateway(t, sims, { config: probesOnce });
    const named = await post(gateway, '/api/me', null, { 'x-llamero-placement': 'sim-2' });
    assert.equal(named.headers.get('x-llamero-backend'), 'sim-2');
    await sims[0]!.close();
    const next = await post(gateway, '/api/me', null);
    assert.deepEqual([next.status, next.headers.get('x-llamero-backend')], [200, 'sim-2']);
    const nobody = await post(gateway, '/api/me', null, { 'x-llamero-placement': 'sim-3' });
    assert.equal(nobody.status, 503);
  });

  it('signs out everywhere; who was not signed in does not matter while another was', async (t) => {
    const a = await simulatedOllama(t, { account: 'ada' });
    const b = await simulatedOllama(t);
    const gateway = await startGateway(t, [{ url: a.url }, { url: b.url }]);
    const out = await post(gateway, '/api/signout', null);
    assert.equal(out.status, 200);
    assert.deepEqual([asked(a, '/api/signout'), asked(b, '/api/signout')], [1, 1]);
    const again = await fetch(`${gateway.url}/api/user/keys/${Buffer.from('key').toString('base64url')}`, {
      method: 'DELETE',
    });
    assert.deepEqual([again.status, await again.text()], [401, '{"error":"you are not currently signed in"}']);
    assert.equal((await fetch(`${gateway.url}/api/user/keys/a%2Fb`, { method: 'DELETE' })).status, 404);
  });
});

describe('paths that nobody knows', () => {
  it('are refused as Ollama refuses them', async (t) => {
    const simulated = await simulatedOllama(t);
    const gateway = await startGateway(t, [simulated]);
    for (const path of ['/api/nope', '/v1/nope', '/nope', '/api/', '/v1/models/ns/tiny']) {
      const answer = await fetch(gateway.url + path);
      assert.deepEqual([answer.status, await answer.text()], [404, '404 page not found'], path);
    }
    assert.equal(asked(simulated, '/api/nope'), 0);
  });

  it('are forwarded to the first backend, or to one that has the model, where that is configured', async (t) => {
    const [a, b] = await Promise.all([fakeOllama(t), fakeOllama(t, { models: ['other:latest'] })]);
    a.handler = ({ response }) =>
      void response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end('data: a\n\n');
    b.handler = ({ response }) => void response.writeHead(418, { 'Content-Type': 'application/json' }).end('{"b":1}');
    const gateway = await startGateway(t, [a, b], { config: 'surface: {unknown: forward}' });
    const finished = gateway.finished();
    const first = await fetch(`${gateway.url}/api//rerank/v2/?top=3&x=%2F`, { headers: { 'x-api-key': 'secret' } });
    assert.deepEqual([first.status, await first.text()], [200, 'data: a\n\n']);
    assert.deepEqual([a.asked[0]!.method, a.asked[0]!.path], ['GET', '/api/rerank/v2?top=3&x=%2F']);
    assert.equal(a.asked[0]!.headers['x-api-key'], undefined);
    assert.equal((await finished)['route'], 'other');
    const second = await post(gateway, '/v1/rerank', { model: 'other', documents: [] });
    assert.deepEqual([second.status, await second.text()], [418, '{"b":1}']);
    assert.equal(b.asked[0]!.body, '{"model":"other","documents":[]}');
  });

  it('are never forwarded when a backend could read them otherwise than we do, or for another method', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama], { config: 'surface: {unknown: forward}' });
    const targets = [
      '/api/..%2fdelete',
      '/api/x/../delete',
      '/api/%64elete/x',
      '/v1/./x',
      '/api/x;y',
      '/api/.x',
      '/other/x',
    ];
    for (const target of targets) {
      const bytes = await exchangeBytes(
        gateway.port,
        `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      );
      assert.equal(parseAnswer(bytes).status, 404, target);
    }
    assert.equal((await fetch(`${gateway.url}/api/x`, { method: 'PUT' })).status, 404);
    assert.equal((await fetch(`${gateway.url}/api/delete`)).status, 405);
    assert.equal(ollama.asked.length, 0);
  });

  it('say that the backend was lost', async (t) => {
    const ollama = await fakeOllama(t);
    ollama.handler = ({ response }) => void response.destroy();
    const gateway = await startGateway(t, [ollama], { config: 'surface: {unknown: forward}' });
    const answer = await post(gateway, '/v1/rerank', 'no model');
    assert.equal(answer.status, 502);
    assert.match(((await answer.json()) as { error: { message: string } }).error.message, /^backend b1 closed/);
  });
});

describe('pages in a browser', () => {
  it('from an allowed origin get what Ollama would say, and their origin is not passed on', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    const headers = { origin: 'http://localhost:3000' };
    const preflight = await fetch(`${gateway.url}/api/chat`, { method: 'OPTIONS', headers });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), 'http://localhost:3000');
    assert.match(preflight.headers.get('access-control-allow-headers')!, /X-Api-Key/);
    assert.equal(preflight.headers.get('allow'), 'POST');
    const chat = await gateway.chat({ stream: false }, { headers });
    assert.equal(chat.headers.get('access-control-allow-origin'), 'http://localhost:3000');
    assert.equal(chat.headers.get('vary'), 'Origin');
    assert.equal(ollama.asked[0]!.headers['origin'], undefined);
    const lost = await fetch(`${gateway.url}/api/nope`, { headers });
    assert.deepEqual([lost.status, lost.headers.get('access-control-allow-origin')], [404, 'http://localhost:3000']);
  });

  it('from another origin get nothing, whatever they ask', async (t) => {
    const ollama = await fakeOllama(t);
    const gateway = await startGateway(t, [ollama]);
    for (const [method, path] of [
      ['GET', '/api/tags'],
      ['POST', '/api/chat'],
      ['OPTIONS', '/api/chat'],
      ['GET', '/x'],
    ] as const) {
      const answer = await fetch(gateway.url + path, { method, headers: { origin: 'https://evil.example' } });
      assert.deepEqual([answer.status, await answer.text()], [403, ''], path);
    }
    assert.equal(ollama.asked.length, 0);
  });

  it('can be let in by configuration', async (t) => {
    const gateway = await startGateway(t, [await fakeOllama(t)], {
      config: "listen: {address: '127.0.0.1:0', origins: ['https://*.example'], hosts: [llm.example]}",
    });
    const ok = await fetch(`${gateway.url}/api/version`, { headers: { origin: 'https://chat.example' } });
    assert.equal(ok.status, 200);
    const local = await fetch(`${gateway.url}/api/version`, { headers: { origin: 'http://localhost' } });
    assert.equal(local.status, 403);
    for (const [host, status] of [
      ['llm.example', 200],
      ['evil.example', 403],
    ] as const) {
      const bytes = await exchangeBytes(gateway.port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      assert.equal(parseAnswer(bytes).status, status, host);
    }
  });
});

describe('the lists', () => {
  it('are answered while a backend says nothing to anything, and show where the same name is not the same model', async (t) => {
    const [a, b] = await Promise.all([
      simulatedOllama(t, { models: ['tiny'] }),
      simulatedOllama(t, { models: [{ name: 'tiny', revision: 'stale' }] }),
    ]);
    const gateway = await startGateway(t, [{ url: a.url }, { url: b.url }]);
    b.control.faults.add({ kind: 'hang-before-head' });
    const { models } = (await (await fetch(`${gateway.url}/api/tags`)).json()) as {
      models: { name: string; llamero_digests?: Record<string, string[]> }[];
    };
    assert.equal(models.length, 1);
    assert.deepEqual(Object.values(models[0]!.llamero_digests!).flat().sort(), ['b1', 'b2']);
    for (const path of ['/api/ps', '/v1/models', '/v1/models/tiny', '/api/version', '/']) {
      assert.equal((await fetch(gateway.url + path)).status, 200, path);
    }
    assert.equal(await gateway.metric('llamero_digest_skew_total', { model: 'tiny:latest' }), 1);
    assert.equal(gateway.log.filter(({ msg }) => msg === 'model differs between backends').length, 1);
  });
});
