import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { jsonRequest, rawClient } from '../support/raw-client.ts';
import { sendBytes } from '../support/recordings.ts';
import { simulatedOllama } from '../support/simulated.ts';

/** Sends bytes, waits for the connection's end, and gives what came with the dates taken out. */
async function all(port: number, text: string | Buffer): Promise<string> {
  const client = await rawClient(port, text);
  await client.ended;
  return client.text().replaceAll(/Date: [^\r]+/g, 'Date: …');
}

const version = '{"version":"0.33.0-rc2"}';

describe('the simulator on the wire', () => {
  it('closes when asked to, and says so where Go does', async (t) => {
    const { port } = await simulatedOllama(t, { models: [] });
    assert.equal(
      await all(port, 'GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'),
      `HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: …\r\nContent-Length: 24\r\nConnection: close\r\n\r\n${version}`,
    );
  });

  it('answers HTTP/1.0 without chunks', async (t) => {
    const { port } = await simulatedOllama(t, { models: ['tiny'], answerTokens: 2 });
    const body = JSON.stringify({ model: 'tiny', prompt: 'hi' });
    const answer = await all(port, `POST /api/generate HTTP/1.0\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    const [head, rest] = answer.split('\r\n\r\n');
    assert.equal(head, 'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nDate: …');
    assert.equal(rest!.trimEnd().split('\n').length, 3);
  });

  it('keeps connections, answers one after the other, and reads pipelined requests', async (t) => {
    const { port } = await simulatedOllama(t, { models: ['tiny'], answerTokens: 2 });
    const one = jsonRequest('/api/generate', { model: 'tiny', prompt: 'hi' });
    const last = Buffer.from('GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    const client = await rawClient(port, Buffer.concat([one, jsonRequest('/api/show', { model: 'nope' }), one, last]));
    await client.receives(version);
    assert.deepEqual(
      client.text().match(/HTTP\/1\.1 \d+/g),
      [200, 404, 200, 200].map((status) => `HTTP/1.1 ${status}`),
    );
    client.leave();
  });

  it('states the length of what fits its buffer, and chunks the rest', async (t) => {
    const { port } = await simulatedOllama(t, { models: Array.from({ length: 9 }, (_, i) => `tiny:${i}`) });
    const answer = await sendBytes(port, Buffer.from('GET /api/tags HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'), 'GET');
    assert.deepEqual([answer.framing, answer.chunks.length], ['chunked', 1]);
    const head = await sendBytes(port, Buffer.from('HEAD /api/tags HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'), 'HEAD');
    assert.deepEqual(
      head.headers.map(([name]) => name),
      ['Content-Type', 'Date'],
    );
  });

  it('asks for a body it wants, and closes on one it does not', async (t) => {
    const { port, control } = await simulatedOllama(t, { models: ['tiny'] });
    const expecting = (path: string, length: number): string =>
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
    const client = await rawClient(port, expecting('/api/show', 16));
    await client.receives('HTTP/1.1 100 Continue\r\n\r\n');
    client.write('{"model": "nope"}'.slice(0, 16));
    await client.receives('400 Bad Request');
    client.leave();
    const digest = `sha256:${createHash('sha256').update('x').digest('hex')}`;
    control.library.addBlob(digest, { size: 1, isGguf: false });
    assert.equal(
      await all(port, expecting(`/api/blobs/${digest}`, 1)),
      'HTTP/1.1 200 OK\r\nDate: …\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    );
  });

  it('lets a client that still sends hear the answer before it closes', async (t) => {
    const { port, control } = await simulatedOllama(t, { models: [] });
    const digest = `sha256:${createHash('sha256').update('x').digest('hex')}`;
    control.library.addBlob(digest, { size: 1, isGguf: false });
    const chunk = Buffer.alloc(100_000, 1);
    const framed = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
    const head = `POST /api/blobs/${digest} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const client = await rawClient(port, Buffer.concat([Buffer.from(head), framed, framed, framed, framed]));
    await client.receives('\r\n\r\n');
    client.write(framed);
    await new Promise(setImmediate);
    client.write(framed);
    assert.equal(await client.ended, 'end');
    assert.match(client.text(), /^HTTP\/1\.1 200 OK\r\n.*\r\nContent-Length: 0\r\nConnection: close\r\n\r\n$/);
  });

  it('refuses what is no HTTP and heads without end as Go does', async (t) => {
    const { port } = await simulatedOllama(t, { models: [] });
    const plain = 'Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n';
    assert.equal(await all(port, 'BLAH\r\n\r\n'), `HTTP/1.1 400 Bad Request\r\n${plain}400 Bad Request`);
    assert.equal(
      await all(port, `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'y'.repeat(1_100_000)}`),
      `HTTP/1.1 431 Request Header Fields Too Large\r\n${plain}431 Request Header Fields Too Large`,
    );
    const big = await rawClient(
      port,
      `GET /api/version HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'y'.repeat(900_000)}\r\n\r\n`,
    );
    await big.receives(version);
    big.leave();
  });

  it('redirects paths that are not clean, with a page for a GET', async (t) => {
    const { port } = await simulatedOllama(t, { models: [] });
    const send = async (method: string, target: string) => {
      const answer = await sendBytes(
        port,
        Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`),
        method,
      );
      const location = answer.headers.find(([name]) => name === 'Location')?.[1];
      return [Number(answer.statusLine.split(' ')[1]), location, answer.chunks.join('')];
    };
    const page = '<a href="/api/tags?a=1">Moved Permanently</a>.\n\n';
    assert.deepEqual(await send('GET', '//api/./x/../tags?a=1'), [301, '/api/tags?a=1', page]);
    assert.deepEqual(await send('GET', '/api/tags/?a=1'), [301, '/api/tags?a=1', page]);
    assert.deepEqual(await send('DELETE', '/api/delete/'), [307, '/api/delete', '']);
    assert.deepEqual(await send('GET', '/api/delete/'), [404, undefined, '404 page not found']);
  });

  it('names the methods a path takes in the order of their registration', async (t) => {
    const { port } = await simulatedOllama(t, { models: [] });
    for (const [target, allow] of [
      ['/', 'HEAD, GET'],
      ['/api/tags', 'HEAD, GET'],
      ['/api/ps', 'GET'],
      [`/api/blobs/sha256:${'0'.repeat(64)}`, 'HEAD, POST'],
    ]) {
      const answer = await sendBytes(port, Buffer.from(`PATCH ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`), 'PATCH');
      assert.deepEqual([answer.statusLine, answer.headers[0]], ['HTTP/1.1 405 Method Not Allowed', ['Allow', allow]]);
    }
  });

  it('looks at the Host on loopback: names of this machine and addresses of private networks pass', async (t) => {
    const { port } = await simulatedOllama(t, { models: [] });
    const status = async (method: string, fields: string): Promise<string> => {
      const answer = await sendBytes(port, Buffer.from(`${method} /api/version HTTP/1.1\r\n${fields}\r\n`), method);
      return answer.statusLine.split(' ')[1]!;
    };
    for (const host of ['localhost:1', 'a.localhost', 'x.local', '192.168.9.9:11434', '[::1]:5', '', '0.0.0.0']) {
      assert.equal(await status('GET', `Host: ${host}\r\n`), '200', host);
    }
    for (const host of ['ollama1:11434', '8.8.8.8', 'example.com']) {
      assert.equal(await status('GET', `Host: ${host}\r\n`), '403', host);
    }
    assert.equal(await status('OPTIONS', 'Host: localhost\r\n'), '204');
    assert.equal(await status('OPTIONS', 'Host: 127.0.0.1\r\n'), '405');
    const own = 'Host: 127.0.0.1:7\r\nOrigin: http://127.0.0.1:7\r\n';
    assert.deepEqual(
      [await status('GET', own), await status('GET', 'Host: a.local\r\nOrigin: app://x\r\n')],
      ['200', '200'],
    );
    assert.equal(await status('GET', 'Host: 127.0.0.1\r\nOrigin: null\r\n'), '403');
  });
});
