import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { fakeOllama } from '../support/fake-ollama.ts';
import { realSystem } from '../../src/system.ts';
import { startGateway } from '../support/gateway.ts';
import { exchangeBytes, parseAnswer } from '../support/raw-http.ts';
import { virtualClock } from '../support/virtual-clock.ts';

async function setUp(t: TestContext, config = '') {
  const ollama = await fakeOllama(t);
  return { ollama, gateway: await startGateway(t, [ollama], { config }) };
}

describe('bad input', () => {
  it('that is not JSON gets Ollama’s words, in each dialect', async (t) => {
    const { gateway, ollama } = await setUp(t);
    const ask = async (path: string) => {
      const answer = await fetch(gateway.url + path, { method: 'POST', body: '{"model": "tiny", ' });
      return [answer.status, (await answer.json()) as Record<string, unknown>] as const;
    };
    const [status, body] = await ask('/api/chat');
    assert.deepEqual([status, body], [400, { error: 'unexpected EOF' }]);
    const [, openai] = await ask('/v1/chat/completions');
    assert.equal((openai['error'] as Record<string, unknown>)['type'], 'invalid_request_error');
    const [, anthropic] = await ask('/v1/messages');
    assert.deepEqual(
      [anthropic['type'], (anthropic['error'] as Record<string, unknown>)['type']],
      ['error', 'invalid_request_error'],
    );
    assert.equal(ollama.asked.length, 0);
  });

  it('without a body is refused', async (t) => {
    const { gateway } = await setUp(t);
    const answer = await fetch(`${gateway.url}/api/chat`, { method: 'POST' });
    assert.deepEqual([answer.status, await answer.json()], [400, { error: 'missing request body' }]);
  });

  it('naming a model nobody has is a 404 in each dialect, with the client’s spelling', async (t) => {
    const { gateway } = await setUp(t);
    const ask = async (path: string) => {
      const body = JSON.stringify({ model: 'Nope', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] });
      const answer = await fetch(gateway.url + path, { method: 'POST', body });
      return [answer.status, JSON.stringify(await answer.json())] as const;
    };
    for (const path of ['/api/chat', '/v1/chat/completions', '/v1/messages']) {
      const [status, text] = await ask(path);
      assert.equal(status, 404, path);
      assert.match(text, /model 'Nope' not found/, path);
    }
    assert.equal(await gateway.metric('llamero_requests_total', { model: 'Nope' }), 0);
  });

  it('that comes too slowly is refused, and the connection closed without waiting for more of it', async (t) => {
    const ollama = await fakeOllama(t);
    const clock = virtualClock();
    const gateway = await startGateway(t, [ollama], { system: { ...realSystem, clock } });
    // What is waited for by another clock never comes.
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const idle = clock.pendingTimers;
    const answered = exchangeBytes(
      gateway.port,
      'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"model"',
    );
    while (clock.pendingTimers === idle) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(31_000);
    assert.equal(parseAnswer(await answered).status, 408);
    assert.equal(ollama.asked.length, 0);
  });

  for (const path of ['/api/nothing', '/livez', '/api/version']) {
    it(`whose body does not come, although ${path} has been answered, does not hold the connection`, async (t) => {
      const { gateway } = await setUp(t);
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const method = path === '/api/nothing' ? 'POST' : 'GET';
      const socket = connect(gateway.port, '127.0.0.1');
      socket.write(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      assert.match(answer.toString(), method === 'POST' ? /^HTTP\/1.1 404/ : /^HTTP\/1.1 200/);
      while (!socket.destroyed) {
        t.mock.timers.tick(2000);
        await new Promise((resolve) => setImmediate(resolve));
      }
      // What was set by the real clock is cancelled by it.
      t.mock.timers.reset();
    });
  }

  it('over the body limit is refused before it has been read', async (t) => {
    const { gateway: small } = await setUp(t);
    const declared = await exchangeBytes(
      small.port,
      `POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${1024 ** 3}\r\n\r\n{"model"`,
    );
    const answer = parseAnswer(declared);
    assert.equal(answer.status, 413);
    assert.match(answer.body, /larger than/);
    assert.equal((await fetch(`${small.url}/livez`)).status, 200);
  });

  it('with the wrong method or path gets Ollama’s 405 and 404', async (t) => {
    const { gateway } = await setUp(t);
    const wrong = await fetch(`${gateway.url}/api/generate`);
    assert.deepEqual(
      [wrong.status, await wrong.text(), wrong.headers.get('allow')],
      [405, '405 method not allowed', 'POST'],
    );
    assert.equal(wrong.headers.get('content-type'), 'text/plain');
    const unknown = await fetch(`${gateway.url}/nope`, {
      method: 'POST',
      body: '{',
      headers: { 'content-type': 'what/ever;;;' },
    });
    assert.deepEqual([unknown.status, await unknown.text()], [404, '404 page not found']);
  });

  it('with a path of too many slashes is served, not redirected', async (t) => {
    const { gateway } = await setUp(t);
    const body = JSON.stringify({ model: 'tiny', messages: [] });
    for (const path of ['//api/chat', '/api/chat/', '/api//chat//']) {
      const answer = await fetch(gateway.url + path, { method: 'POST', body, redirect: 'error' });
      assert.equal(answer.status, 200, path);
    }
  });

  it('of any content type, or none, is served as Ollama does', async (t) => {
    const { gateway } = await setUp(t);
    const text = '{"model":"tiny","messages":[{"role":"user","content":"x"}],"stream":false}';
    for (const type of ['Content-Type: application/x-www-form-urlencoded\r\n', 'Content-Type: ;;nonsense\r\n', '']) {
      const bytes = await exchangeBytes(
        gateway.port,
        `POST /api/chat HTTP/1.1\r\nHost: localhost\r\n${type}Connection: close\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
      );
      assert.equal(parseAnswer(bytes).status, 200, type);
    }
  });

  it('with an endless head is refused and harms nothing', async (t) => {
    const { gateway } = await setUp(t);
    const filler = `X-Filler: ${'a'.repeat(16_000)}\r\n`;
    const bytes = await exchangeBytes(gateway.port, `GET / HTTP/1.1\r\nHost: localhost\r\n${filler.repeat(5)}`);
    assert.match(bytes, /^HTTP\/1\.1 431 /);
    assert.equal(await (await fetch(gateway.url)).text(), 'Ollama is running');
  });
});
