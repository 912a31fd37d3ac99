import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chatLine, fakeOllama, startStream } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function act(
  gateway: Gateway,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const init =
    body === undefined
      ? { method, headers }
      : { method, headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(gateway.adminUrl + path, init);
  const text = await answer.text();
  return {
    status: answer.status,
    type: answer.headers.get('content-type'),
    body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>),
  };
}

describe('while it runs, an operator', () => {
  it('drains a backend: what runs there goes on, nothing new is sent, and it can be resumed', async (t) => {
    const [one, two] = [await fakeOllama(t), await fakeOllama(t)];
    const gateway = await startGateway(t, [one, two], { config: 'policy: round-robin\n' });
    one.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    let running: Response;
    do running = await gateway.chat();
    while (running.headers.get('x-llamero-backend') !== 'b1');
    const drained = await act(gateway, 'POST', '/gateway/backends/b1/drain');
    assert.equal(drained.body?.['state'], 'draining');
    const before = one.asked.length;
    for (let request = 0; request < 6; request += 1) await (await gateway.chat()).text();
    assert.equal(one.asked.length, before);
    one.asked.at(-1)!.response.end(chatLine('', true));
    assert.match(await running.text(), /"done":true/);
    const resumed = await act(gateway, 'POST', '/gateway/backends/b1/resume');
    assert.equal(resumed.body?.['state'], 'up');
  });

  it('adds a backend, weights it and removes it again', async (t) => {
    const [one, two] = [await fakeOllama(t), await fakeOllama(t)];
    const gateway = await startGateway(t, [one]);
    const added = await act(gateway, 'POST', '/gateway/backends', { name: 'gpu2', url: two.url });
    assert.equal(added.status, 201);
    while (gateway.app.view()[1]!.state !== 'up') await turn();
    assert.equal((await act(gateway, 'POST', '/gateway/backends', { name: 'gpu2', url: two.url })).status, 422);
    const changed = await act(gateway, 'PATCH', '/gateway/backends/gpu2', { weight: 3, slots: 2 });
    assert.deepEqual([changed.body?.['weight'], changed.body?.['slots']], [3, 2]);
    for (const wrong of [{ weight: 0 }, { slots: 1.5 }, { colour: 'red' }]) {
      assert.equal((await act(gateway, 'PATCH', '/gateway/backends/gpu2', wrong)).status, 400);
    }
    assert.equal((await act(gateway, 'DELETE', '/gateway/backends/gpu2')).status, 204);
    assert.equal(gateway.app.view().length, 1);
    const missing = await act(gateway, 'DELETE', '/gateway/backends/gpu2');
    assert.equal(missing.status, 404);
    assert.match(missing.type ?? '', /^application\/problem\+json/);
  });

  it('needs the token where one is set, and otherwise must come from this machine and this site', async (t) => {
    const ollama = await fakeOllama(t);
    const open = await startGateway(t, [ollama]);
    const drain = '/gateway/backends/b1/drain';
    assert.equal((await act(open, 'POST', drain, undefined, { origin: 'http://evil.example' })).status, 403);
    const guarded = await startGateway(t, [ollama], {
      config: 'admin: {address: "127.0.0.1:0", token: hunter2hunter2}\n',
    });
    assert.equal((await act(guarded, 'POST', drain)).status, 401);
    assert.equal((await act(guarded, 'POST', drain, undefined, { authorization: 'Bearer wrong' })).status, 401);
    assert.equal(
      (await act(guarded, 'POST', drain, undefined, { authorization: 'Bearer hunter2hunter2' })).status,
      200,
    );
  });

  it('reloads: streams go on, a backend that left finishes, what stays keeps what was learnt', async (t) => {
    const [one, two] = [await fakeOllama(t), await fakeOllama(t)];
    const gateway = await startGateway(t, [{ ...one, url: one.url }]);
    one.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('one'));
    };
    const answer = await gateway.chat();
    await act(gateway, 'POST', '/gateway/backends/b1/drain');
    const later = await gateway.reload('policy: random\n', [{ url: two.url, name: 'b2' }]);
    assert.deepEqual(later, []);
    while (gateway.app.view()[0]!.state !== 'up') await turn();
    assert.equal((await gateway.chat()).headers.get('x-llamero-backend'), 'b2');
    one.asked[0]!.response.end(chatLine('', true));
    assert.match(await answer.text(), /"done":true/);
    assert.equal(await gateway.metric('llamero_config_last_reload_successful'), 1);
    assert.deepEqual(await gateway.reload('shutdown: {grace: 1s}\n'), ['shutdown']);
  });
});

describe('with every backend down', () => {
  it('starts, is alive and not ready, lets requests wait, and serves the first when one returns', async (t) => {
    const ollama = await fakeOllama(t);
    await ollama.kill();
    const gateway = await startGateway(t, [ollama]);
    assert.equal((await fetch(`${gateway.url}/livez`)).status, 200);
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 503);
    assert.deepEqual(await (await fetch(`${gateway.url}/api/tags`)).json(), { models: [] });
    const answer = gateway.chat();
    while ((await gateway.metric('llamero_queue_depth')) === 0) continue;
    await ollama.revive();
    assert.equal((await answer).status, 200);
  });

  it('refuses what waited too long with 503 and Retry-After', async (t) => {
    const ollama = await fakeOllama(t);
    await ollama.kill();
    const gateway = await startGateway(t, [ollama], { config: 'queue: {timeout: 50ms}\n' });
    const answer = await gateway.chat();
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    await ollama.revive();
  });
});
