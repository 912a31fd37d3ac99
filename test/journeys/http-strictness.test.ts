/** What RFC 9110 and RFC 9112 ask of an intermediary, one rule a test, over sockets and byte for byte. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { GatewayError, failures, type FailureCode } from '../../src/core/errors.ts';
import { dialects } from '../../src/dialects/index.ts';
import { realSystem } from '../../src/system.ts';
import { chatLine, fakeOllama, startStream, type FakeOllama } from '../support/fake-ollama.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { rawClient } from '../support/raw-client.ts';
import { exchangeBytes, parseAnswer } from '../support/raw-http.ts';
import { virtualClock } from '../support/virtual-clock.ts';

const chat = '{"model":"tiny","messages":[{"role":"user","content":"x"}],"stream":false}';
const host = 'Host: localhost\r\n';

let ollama: FakeOllama;
let gateway: Gateway;
const closers: (() => unknown)[] = [];
const closer = { after: (close: () => unknown) => void closers.push(close) };

before(async () => {
  ollama = await fakeOllama(closer as TestContext);
  gateway = await startGateway(closer, [ollama]);
});
after(async () => {
  for (const close of closers.toReversed()) await close();
});

/** A chat as bytes; `head` are further header lines, `start` the request line. */
function chatBytes(head = '', start = 'POST /api/chat HTTP/1.1', hosts = host): string {
  return `${start}\r\n${hosts}${head}Content-Length: ${chat.length}\r\n\r\n${chat}`;
}

async function statusOf(bytes: string): Promise<number> {
  return parseAnswer(await exchangeBytes(gateway.port, bytes)).status;
}

/** Refused with the status, the connection closed, and nothing sent to a backend. */
async function isRefused(bytes: string, status: number): Promise<void> {
  const asked = ollama.asked.length;
  assert.equal(await statusOf(bytes), status, bytes.slice(0, 200));
  assert.equal(ollama.asked.length, asked, 'a backend was asked');
}

/** Passed on, with the head that the backend got. */
async function passed(bytes: string): Promise<{ readonly status: number; readonly head: Record<string, unknown> }> {
  const asked = ollama.next();
  const [{ headers }, status] = await Promise.all([asked, statusOf(bytes)]);
  return { status, head: headers };
}

describe('the head of a request', () => {
  it('has one valid Host (C1)', async () => {
    await isRefused('GET / HTTP/1.1\r\nConnection: close\r\n\r\n', 400);
    for (const hosts of [
      `${host}${host}`,
      `${host}hOsT: other\r\n`,
      'Host: a/b@c\r\n',
      'Host: a b\r\n',
      'Host: [::1\r\n',
    ])
      await isRefused(chatBytes('', undefined, hosts), 400);
    for (const hosts of ['Host: localhost:99999\r\n', 'Host: [::1]:11435\r\n', 'Host:\r\n'])
      assert.equal(await statusOf(chatBytes('Connection: close\r\n', undefined, hosts)), 200, hosts);
  });

  it('may have its target in absolute form when the authority is that of Host (C2)', async () => {
    const absolute = 'POST http://LOCALHOST/api/chat HTTP/1.1';
    const { status } = await passed(chatBytes('Connection: close\r\n', absolute));
    assert.equal(status, 200);
    assert.equal(ollama.asked.at(-1)!.path, '/api/chat');
    for (const target of ['http://evil/api/chat', 'http:///api/chat', 'http://localhost@evil/api/chat'])
      await isRefused(chatBytes('', `POST ${target} HTTP/1.1`), 421);
    assert.equal(await statusOf(`GET http://localhost HTTP/1.1\r\n${host}Connection: close\r\n\r\n`), 200);
  });

  it('has a path for a target, and HTTP/1 for a version (C3)', async () => {
    await isRefused(`GET * HTTP/1.1\r\n${host}\r\n`, 400);
    await isRefused(`GET /api/tags#x HTTP/1.1\r\n${host}\r\n`, 400);
    await isRefused(`GET localhost:80 HTTP/1.1\r\n${host}\r\n`, 400);
    await isRefused(chatBytes('', 'POST /api/chat HTTP/2.0'), 505);
    await isRefused('GET /\r\n\r\n', 505);
    assert.equal(await exchangeBytes(gateway.port, `CONNECT evil:80 HTTP/1.1\r\n${host}\r\n`), '', 'no tunnel');
    assert.notEqual(await statusOf(`OPTIONS * HTTP/1.1\r\n${host}Connection: close\r\n\r\n`), 200);
  });

  it('never gives both a length and a coding (C4)', async () => {
    for (const coding of ['chunked', 'Chunked', 'gzip, chunked', 'identity'])
      await isRefused(chatBytes(`Transfer-Encoding: ${coding}\r\n`), 400);
  });

  it('knows no coding but chunked (C5)', async () => {
    const coded = (coding: string) =>
      `POST /api/chat HTTP/1.1\r\n${host}Connection: close\r\n${coding}\r\n${chat.length.toString(16)}\r\n${chat}\r\n0\r\n\r\n`;
    assert.equal(await statusOf(coded('Transfer-Encoding: Chunked\r\n')), 200);
    await isRefused(coded('Transfer-Encoding: gzip, chunked\r\n'), 501);
    await isRefused(coded('Transfer-Encoding: identity, chunked\r\n'), 501);
    await isRefused(coded('Transfer-Encoding: chunked, chunked\r\n'), 400);
    await isRefused(coded('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'), 400);
    await isRefused(coded('Transfer-Encoding: chunked, gzip\r\n'), 400);
    await isRefused(coded('Transfer-Encoding: xchunked\r\n'), 501);
  });

  it('has no coding in HTTP/1.0 (C6)', async () => {
    const body = `${chat.length.toString(16)}\r\n${chat}\r\n0\r\n\r\n`;
    await isRefused(`POST /api/chat HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body}`, 400);
  });

  it('gives one length, in digits (C7)', async () => {
    for (const length of ['5,5', '+5', '-1', '0x5', '5 5', '', '99999999999999999999999'])
      await isRefused(`POST /api/chat HTTP/1.1\r\n${host}Content-Length: ${length}\r\n\r\nhello`, 400);
    for (const second of ['5', '6'])
      await isRefused(
        `POST /api/chat HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: ${second}\r\n\r\nhello`,
        400,
      );
  });

  it('has no blank before a colon and no folded lines (C8)', async () => {
    await isRefused(chatBytes('X-A : b\r\n'), 400);
    await isRefused(chatBytes('X-A: b\r\n c\r\n'), 400);
    await isRefused(chatBytes(' X-A: b\r\n'), 400);
  });

  it('has no line ends or NUL in values; neither has what we send (C9)', async () => {
    for (const value of ['a\0b', 'a\rb', 'a\nContent-Length: 0'])
      await isRefused(chatBytes(`X-Request-Id: ${value}\r\n`), 400);
    const answer = parseAnswer(
      await exchangeBytes(gateway.port, chatBytes('Connection: close\r\nX-Request-Id: a\tb\r\n')),
    );
    const given = answer.headers.find(([name]) => name === 'X-Request-Id')![1];
    assert.match(given, /^[0-9a-f-]{36}$/, 'an id that is no word is replaced');
  });

  it('is bounded in size and in fields (C22)', async () => {
    await isRefused(`GET / HTTP/1.1\r\n${host}${'X-A: b\r\n'.repeat(100)}\r\n`, 431);
    await isRefused(`GET / HTTP/1.1\r\n${host}${'X-A: b\r\n'.repeat(3000)}\r\n`, 431);
    await isRefused(`GET / HTTP/1.1\r\n${host}X-A: ${'b'.repeat(65_536)}\r\n\r\n`, 431);
    assert.equal(await statusOf(`GET / HTTP/1.1\r\n${host}Connection: close\r\n${'X-A: b\r\n'.repeat(98)}\r\n`), 200);
  });

  it('of HTTP/2 is none of ours (C25)', async () => {
    const preface = await exchangeBytes(gateway.port, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    assert.match(preface, /^HTTP\/1\.1 (?:400|505) /);
    const { status, head } = await passed(
      chatBytes('Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'),
    );
    assert.deepEqual([status, head['upgrade'], head['http2-settings']], [200, undefined, undefined]);
  });
});

describe('the body of a request', () => {
  it('has chunk extensions of a bounded size, which stay here (C10)', async () => {
    const chunked = (extension: string) =>
      `POST /api/chat HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n` +
      `${chat.length.toString(16)};${extension}\r\n${chat}\r\n0\r\n\r\n`;
    const { status } = await passed(chunked('a=b'));
    assert.deepEqual([status, ollama.asked.at(-1)!.body], [200, chat]);
    const asked = ollama.asked.length;
    const long = await rawClient(gateway.port, chunked(`a=${'b'.repeat(64 * 1024)}`));
    await long.ended;
    assert.doesNotMatch(long.text(), /^HTTP\/1\.1 2/);
    assert.equal(ollama.asked.length, asked);
  });

  it('has trailers that become no header fields (C11)', async () => {
    const { status, head } = await passed(
      `POST /api/chat HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nTrailer: X-Session-Id\r\nConnection: close\r\n\r\n` +
        `${chat.length.toString(16)}\r\n${chat}\r\n0\r\nContent-Type: evil/one\r\nTraceparent: evil\r\n\r\n`,
    );
    assert.deepEqual(
      [status, head['content-type'], head['traceparent'], head['trailer']],
      [200, undefined, undefined, undefined],
    );
  });

  it('is asked for only when it may be served (C15)', async () => {
    const waiting = await rawClient(
      gateway.port,
      `POST /api/chat HTTP/1.1\r\n${host}Connection: close\r\nExpect: 100-continue\r\nContent-Length: ${chat.length}\r\n\r\n`,
    );
    await waiting.receives('HTTP/1.1 100 Continue\r\n\r\n');
    waiting.write(chat);
    await waiting.receives('HTTP/1.1 200 OK');
    const expecting = (start: string, length: number) =>
      exchangeBytes(
        gateway.port,
        `${start} HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`,
      );
    for (const [start, length, status] of [
      ['POST /api/chat', 2 ** 40, 413],
      ['GET /api/chat', 50, 405],
      ['POST /nowhere', 50, 404],
      ['GET /livez', 50, 200],
    ] as const) {
      const answer = parseAnswer(await expecting(start, length));
      assert.deepEqual([answer.status, answer.rest], [status, ''], start);
    }
    const other = `POST /api/chat HTTP/1.1\r\n${host}Expect: tea\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`;
    await isRefused(other, 417);
  });
});

describe('what goes on to a backend', () => {
  it('has none of the fields that Connection nominates, nor any that belong to this connection (C12, C13, C17)', async () => {
    const { status, head } = await passed(
      chatBytes(
        'Connection: close, Traceparent, X-Secret, Via\r\nTraceparent: 00-0-0-00\r\nX-Secret: s\r\nKeep-Alive: timeout=1\r\n' +
          'Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nTE: trailers\r\nTrailer: X-A\r\nUpgrade: websocket\r\n' +
          'Authorization: Bearer s\r\nCookie: s\r\nOrigin: http://localhost\r\nX-Forwarded-For: 1.2.3.4\r\n__proto__: x\r\n',
      ),
    );
    assert.equal(status, 200);
    assert.deepEqual(Object.keys(head).toSorted(), ['connection', 'content-length', 'host', 'via', 'x-request-id']);
    assert.equal(head['connection'], 'keep-alive');
    assert.equal(head['host'], `127.0.0.1:${ollama.port}`);
  });

  it('says who passed it on, and is refused when it comes back (C14)', async () => {
    const { head } = await passed(chatBytes('Connection: close\r\nVia: 1.0 front\r\n'));
    assert.match(String(head['via']), /^1\.0 front, 1\.1 llamero-[0-9a-f]{8}$/);
    await isRefused(chatBytes(`Via: ${String(head['via'])}\r\n`), 508);
    const other = await startGateway({ after: closer.after }, [{ url: gateway.url }, { url: ollama.url }]);
    const answer = await other.chat({ stream: false });
    assert.equal(answer.status, 200);
    await answer.text();
    assert.equal(
      String(ollama.asked.at(-1)!.headers['via']).split(', ').length,
      answer.headers.get('x-llamero-backend') === 'b1' ? 2 : 1,
    );
  });

  it('is never done twice where it changes something (C18)', async (t) => {
    const broken = await fakeOllama(t, { handler: ({ response }) => void response.destroy() });
    const front = await startGateway(t, [broken, ollama], { config: 'retry: {backends: 3}\n' });
    for (const [method, path] of [
      ['POST', '/api/pull'],
      ['POST', '/api/push'],
      ['POST', '/api/create'],
      ['POST', '/api/copy'],
      ['DELETE', '/api/delete'],
    ] as const) {
      const asked = broken.asked.length;
      const body = JSON.stringify({ model: 'tiny', from: 'tiny', source: 'tiny', destination: 'tiny2' });
      const headers = { 'x-llamero-placement': 'b1' };
      const answer = await fetch(front.url + path, { method, body, headers });
      await answer.text().catch(() => '');
      assert.equal(broken.asked.length - asked, 1, path);
    }
  });
});

describe('what comes from a backend', () => {
  /** A backend that answers probes and then, to a chat, exactly these bytes; how often it was asked. */
  async function backendSaying(t: TestContext, bytes: string): Promise<{ readonly url: string }> {
    const probe = await fakeOllama(t);
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => {
        const head = data.toString('latin1');
        if (head.startsWith('POST')) socket.end(bytes, 'latin1');
        else {
          const path = head.split(' ')[1]!;
          const told = fetch(probe.url + path).then(async (answer) => {
            const text = await answer.text();
            socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
          });
          // The test is over, and its backends with it.
          told.catch(() => socket.destroy());
        }
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => void server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  async function answered(t: TestContext, bytes: string) {
    const front = await startGateway(t, [await backendSaying(t, bytes)], { config: 'retry: {backends: 1}\n' });
    return exchangeBytes(front.port, chatBytes('Connection: close\r\n'));
  }

  const line = chatLine('hello', true).trimEnd();
  const good = `Content-Type: application/json\r\nContent-Length: ${line.length}\r\n\r\n${line}`;

  it('has none of its connection’s fields (C12, C13)', async (t) => {
    const fields =
      'Connection: x-secret, Cache-Control\r\nX-Secret: s\r\nCache-Control: no-store\r\nKeep-Alive: timeout=9\r\nServer: s\r\n' +
      'Proxy-Authenticate: Basic\r\nTrailer: X-A\r\nUpgrade: h2c\r\nSet-Cookie: a=b\r\nAccess-Control-Allow-Origin: *\r\n';
    const { status, headers } = parseAnswer(await answered(t, `HTTP/1.1 200 OK\r\n${fields}${good}`));
    const names = headers.map(([name]) => name.toLowerCase()).filter((name) => !name.startsWith('x-llamero-'));
    assert.equal(status, 200);
    assert.deepEqual(names.toSorted(), ['connection', 'content-length', 'content-type', 'date', 'x-request-id']);
  });

  it('may begin with early hints, and not with an uncalled-for 100 (C16)', async (t) => {
    const hinted = await answered(t, `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n${good}`);
    assert.equal(parseAnswer(hinted).status, 200);
    const uncalled = await answered(t, `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n${good}`);
    assert.equal(parseAnswer(uncalled).status, 502);
  });

  it('never looks complete when it is not (C19)', async (t) => {
    const start = 'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n';
    const part = chatLine('hel');
    for (const cut of [
      `${start}Content-Length: 5000\r\n\r\n${part}`,
      `${start}Transfer-Encoding: chunked\r\n\r\n${part.length.toString(16)}\r\n${part}\r\n`,
      `${start}Connection: close\r\n\r\n${part}`,
    ]) {
      const bytes = await answered(t, cut);
      assert.match(bytes, /"error":/);
      assert.doesNotMatch(bytes, /"done":true/);
      assert.throws(() => parseAnswer(bytes), /cut/);
    }
  });

  it('is one answer to one request, whatever follows it (C20)', async (t) => {
    const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
    const front = await startGateway(t, [await backendSaying(t, `HTTP/1.1 200 OK\r\n${good}${evil}`)]);
    for (let i = 0; i < 3; i++) {
      const { body, status } = parseAnswer(await exchangeBytes(front.port, chatBytes('Connection: close\r\n')));
      assert.deepEqual([status, body], [200, line]);
    }
  });
});

describe('the connection of a client', () => {
  it('that is closed on its side is given up, and the backend with it (C21)', async () => {
    const before = ollama.handler;
    ollama.handler = (asked) => {
      startStream(asked);
      asked.response.write(chatLine('hel'));
    };
    const socket = await rawClient(gateway.port, chatBytes());
    const asked = await ollama.next();
    ollama.handler = before;
    await socket.receives('hel');
    socket.halfClose();
    await asked.aborted;
  });

  it('says when to come again wherever it is refused for now (C23)', () => {
    for (const dialect of Object.values(dialects)) {
      for (const [code, { status }] of Object.entries(failures)) {
        if (status !== 503 && status !== (429 as number)) continue;
        const { headers } = dialect.renderError(new GatewayError(code as FailureCode, 'x'), 'id');
        const after = Object.entries(headers).find(([name]) => name.toLowerCase() === 'retry-after')?.[1];
        assert.match(after ?? '', /^[1-9]\d*$/, `${code} in ${dialect.name}`);
      }
    }
  });

  it('says where an answer came from (C24)', async () => {
    const { headers } = parseAnswer(await exchangeBytes(gateway.port, chatBytes('Connection: close\r\n')));
    const names = headers.map(([name]) => name);
    for (const name of ['X-Request-Id', 'X-Llamero-Backend', 'X-Llamero-Attempts'])
      assert.ok(names.includes(name), name);
  });
});

describe('a gateway that has too much to do', () => {
  it('refuses what is no inference, too', async (t) => {
    const clock = virtualClock();
    const measureLoad = () => () => ({ loopDelayMs: 60_000, memoryBytes: 0 });
    const backend = await fakeOllama(t);
    const front = await startGateway(t, [backend], {
      config: 'overload: {loopDelay: 1s}\n',
      system: { ...realSystem, clock, measureLoad },
    });
    await clock.advance(600);
    for (const path of ['/api/chat', '/api/show', '/api/pull', '/api/copy']) {
      const answer = await fetch(front.url + path, { method: 'POST', body: '{"model":"tiny","source":"tiny"}' });
      await answer.text();
      assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'], path);
    }
    assert.equal(backend.asked.length, 0);
  });
});
