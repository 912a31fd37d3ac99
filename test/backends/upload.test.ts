import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createClient, type Receiver } from '../../src/backends/client.ts';
import type { BackendFailure } from '../../src/backends/failure.ts';
import { realClock } from '../../src/system.ts';
import { settled, virtualClock } from '../support/virtual-clock.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

async function backend(t: TestContext, handler: Handler): Promise<string> {
  const server = createServer((request, response) => void handler(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Heard extends Receiver {
  readonly said: string[];
  /** Resolves with what ended it. */
  readonly over: Promise<'end' | BackendFailure>;
}

function receiver(): Heard {
  const { promise, resolve } = Promise.withResolvers<'end' | BackendFailure>();
  const said: string[] = [];
  return {
    said,
    over: promise,
    head: (status) => void said.push(String(status)),
    data: (chunk) => void said.push(chunk.toString()),
    end: () => resolve('end'),
    failed: resolve,
  };
}

const ask = { path: '/api/blobs/x', headers: ['X-Request-Id', 'r'], connect: 1000 };

describe('an upload to one backend', () => {
  it('sends what is written, in chunks or with its length, with the backend’s own credential', async (t) => {
    const seen: string[] = [];
    const url = await backend(t, async (request, response) => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      const { host, authorization, 'transfer-encoding': encoding, 'content-length': length } = request.headers;
      seen.push([request.method, request.url, host, authorization, encoding ?? length, body].join(' '));
      response.writeHead(201).end('made');
    });
    const client = createClient({ url: `${url}/base`, auth: { token: 't' } }, realClock);
    t.after(() => client.destroy());
    for (const headers of [[], ['Content-Length', '4']]) {
      const heard = receiver();
      const call = client.upload({ ...ask, headers }, heard);
      const taken = new Promise<void>((resolve) => call.write(Buffer.from('by'), resolve));
      call.write(Buffer.from('te'), () => {});
      call.end();
      await taken;
      assert.equal(await heard.over, 'end');
      assert.deepEqual(heard.said, ['201', 'made']);
    }
    const host = new URL(url).host;
    assert.deepEqual(seen, [
      `POST /base/api/blobs/x ${host} Bearer t chunked byte`,
      `POST /base/api/blobs/x ${host} Bearer t 4 byte`,
    ]);
  });

  it('hears an answer that comes before the body is over', async (t) => {
    const url = await backend(t, (_, response) => void response.writeHead(507).end('full'));
    const client = createClient({ url }, realClock);
    const heard = receiver();
    const call = client.upload(ask, heard);
    call.write(Buffer.alloc(1000), () => {});
    assert.equal(await heard.over, 'end');
    assert.deepEqual(heard.said, ['507', 'full']);
    call.write(Buffer.from('more'), assert.fail);
    call.end();
  });

  it('tells a refusal, a reset and a loss apart', async (t) => {
    const failureOf = async (url: string) => {
      const heard = receiver();
      createClient({ url }, realClock)
        .upload(ask, heard)
        .write(Buffer.from('x'), () => {});
      return (await heard.over) as BackendFailure;
    };
    const reset = await backend(t, (request) => void request.socket.destroy());
    assert.equal((await failureOf(reset)).code, 'backend-reset');
    const lost = await backend(t, (request, response) => {
      response.writeHead(200, { 'Content-Length': 10 });
      response.write('part', () => request.socket.destroy());
    });
    assert.equal((await failureOf(lost)).code, 'backend-lost');
    assert.equal((await failureOf('http://127.0.0.1:1')).code, 'backend-refused');
  });

  it('gives up a connection that is not there in time', async (t) => {
    const url = await backend(t, (_, response) => void response.end());
    const clock = virtualClock();
    const heard = receiver();
    createClient({ url }, clock).upload({ ...ask, connect: 1 }, heard);
    clock.tick(1);
    assert.equal(((await heard.over) as BackendFailure).code, 'backend-connect-timeout');
  });

  it('is silent once it is aborted', async (t) => {
    const gone = Promise.withResolvers<void>();
    const url = await backend(t, (request) => void request.on('close', gone.resolve).resume());
    const heard = receiver();
    const call = createClient({ url }, realClock).upload(ask, heard);
    await new Promise<void>((resolve) => call.write(Buffer.from('x'), resolve));
    call.abort();
    call.abort();
    await gone.promise;
    await settled();
    assert.deepEqual(heard.said, []);
  });
});
