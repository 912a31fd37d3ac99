import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createClient, type Ask, type BackendClient } from '../../src/backends/client.ts';
import { settled, virtualClock } from '../support/virtual-clock.ts';

type Handler = (number: number, response: ServerResponse, server: Server) => void;

/** A server that is told the number of each request, and a client that has a kept-alive connection to it. */
async function acquainted(t: TestContext, handler: Handler) {
  let number = 0;
  const server = createServer((request, response) => {
    number += 1;
    request.resume();
    request.on('end', () => handler(number, response, server));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = virtualClock();
  const { port } = server.address() as AddressInfo;
  const client = createClient({ url: `http://127.0.0.1:${port}` }, clock);
  t.after(async () => {
    await client.destroy();
    server.closeAllConnections();
    server.close();
  });
  assert.equal(await ask(client), 200);
  return { client, clock, asked: () => number };
}

const limits = { connect: 60_000, firstByte: 0, idle: 0, total: 0 };
const generate: Ask = {
  method: 'POST',
  path: '/api/generate',
  headers: [],
  body: Buffer.from('{}'),
  repeatable: true,
  timeouts: limits,
};

/** The status of the answer, or the code of the failure; resolves when the connection can be used again. */
async function ask(client: BackendClient): Promise<number | string> {
  const answer = await new Promise<number | string>((resolve) => {
    let status = 0;
    client.send(generate, {
      head: (code) => {
        status = code;
      },
      data: () => {},
      end: () => resolve(status),
      failed: ({ code }) => resolve(code),
    });
  });
  await settled();
  return answer;
}

describe('a kept-alive connection that is closed when a request comes', () => {
  it('is replaced by a fresh one', async (t) => {
    const { client, asked } = await acquainted(t, (number, response) => {
      if (number === 2) response.socket?.destroy();
      else response.end('fine');
    });
    assert.equal(await ask(client), 200);
    assert.equal(asked(), 3);
  });

  it('is replaced once, and not again', async (t) => {
    const { client, asked } = await acquainted(t, (number, response) => {
      if (number > 1) response.socket?.destroy();
      else response.end('fine');
    });
    assert.equal(await ask(client), 'backend-reset');
    assert.equal(asked(), 3);
  });

  it('counts as lost with the request when nobody listens there any more', async (t) => {
    const { client } = await acquainted(t, (number, response, server) => {
      if (number === 1) return void response.end();
      // A process that dies closes what it listens on as well.
      server.close();
      response.socket?.destroy();
    });
    assert.equal(await ask(client), 'backend-reset');
  });

  it('is not replaced when the request had been there for a while', async (t) => {
    let die = (): void => {};
    const arrived = Promise.withResolvers<void>();
    const { asked, client, clock } = await acquainted(t, (number, response) => {
      if (number !== 2) return void response.end();
      die = () => response.socket?.destroy();
      arrived.resolve();
    });
    const answer = ask(client);
    await arrived.promise;
    await clock.advance(1000);
    die();
    assert.equal(await answer, 'backend-reset');
    assert.equal(asked(), 2);
  });
});

/** The pieces of an answer as they are read; kept until it has ended. */
function pieces(client: BackendClient): Promise<readonly Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    client.send(generate, {
      head: () => {},
      data: (chunk) => chunks.push(chunk),
      end: () => resolve(chunks),
      failed: ({ code }) => reject(new Error(code)),
    });
  });
}

describe('what is read', () => {
  it('stays as it came, whatever is read on other connections meanwhile', async (t) => {
    const bodyOf = (number: number) => Buffer.alloc(300_000, String.fromCharCode(97 + number));
    const { client } = await acquainted(t, (number, response) => {
      const body = bodyOf(number);
      for (let at = 0; at < body.length; at += 5000) response.write(body.subarray(at, at + 5000));
      response.end();
    });
    const answers = await Promise.all(Array.from({ length: 6 }, () => pieces(client)));
    const bodies = answers.map((chunks) => Buffer.concat(chunks));
    const seen = bodies.map((body) => body[0]!).sort((a, b) => a - b);
    assert.deepEqual(
      seen,
      Array.from({ length: 6 }, (_, index) => bodyOf(index + 2)[0]),
    );
    for (const body of bodies) assert.deepEqual(body, Buffer.alloc(300_000, body[0]));
  });

  it('comes in small pieces, however much is there, so that little waits for a client that stalls', async (t) => {
    const body = Buffer.alloc(1024 * 1024, 'x');
    const { client } = await acquainted(t, (_, response) => response.end(body));
    const chunks = await pieces(client);
    assert.ok(Math.max(...chunks.map(({ length }) => length)) <= 8 * 1024);
    assert.deepEqual(Buffer.concat(chunks), body);
  });
});
