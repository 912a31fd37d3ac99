import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { NodeExchange, type FlowLimits } from '../../src/http/exchange.ts';
import { TurnEnd } from '../../src/http/turn-end.ts';
import { realClock } from '../../src/system.ts';
import { virtualClock } from '../support/virtual-clock.ts';
import { exchangeBytes, parseAnswer } from '../support/raw-http.ts';

const roomy: FlowLimits = {
  clock: realClock,
  turn: new TurnEnd(),
  perClient: 64 * 1024,
  budget: { used: 0, limit: 1024 * 1024 },
  stallMs: 0,
};

async function serve(t: TestContext, handle: (exchange: NodeExchange) => void, flow = roomy): Promise<number> {
  const server = createServer({ highWaterMark: 16 * 1024 }, (request, response) => {
    request.resume();
    handle(new NodeExchange(request, response, flow));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;

describe('an exchange over Node', () => {
  it('delivers any pieces, written in any turns, as the same bytes in valid chunks', async (t) => {
    const plans: { pieces: Uint8Array[]; together: boolean[] }[] = [];
    const port = await serve(t, (exchange) => {
      const { pieces, together } = plans[0]!;
      void (async () => {
        exchange.head(200, ['Content-Type', 'application/x-ndjson'], null);
        for (const [index, piece] of pieces.entries()) {
          exchange.write(Buffer.from(piece));
          if (together[index] !== true) await turn();
        }
        exchange.end();
      })();
    });
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 50 }),
      fc.integer({ min: 7000, max: 20_000 }).map((size) => new Uint8Array(size).fill(size % 251)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 8 }),
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        async (pieces, together) => {
          plans[0] = { pieces, together };
          const answer = parseAnswer(await exchangeBytes(port, get()));
          assert.equal(answer.body, Buffer.concat(pieces).toString('latin1'));
          assert.equal(answer.rest, '');
        },
      ),
      { numRuns: 60 },
    );
  });

  it('sends no Connection or Keep-Alive field and keeps an HTTP/1.1 connection open', async (t) => {
    const port = await serve(t, (exchange) => {
      exchange.head(200, ['Content-Type', 'text/plain'], 2);
      exchange.write(Buffer.from('ok'));
      exchange.end();
    });
    const bytes = await exchangeBytes(port, `GET /a HTTP/1.1\r\nHost: x\r\n\r\n${get('/b')}`);
    const first = parseAnswer(bytes);
    const second = parseAnswer(first.rest);
    assert.deepEqual(
      first.headers.map(([name]) => name),
      ['Content-Type', 'Content-Length', 'Date'],
    );
    assert.equal(second.body, 'ok');
  });

  it('serves pipelined requests in order, even when the second answers first', async (t) => {
    let release: (() => void) | null = null;
    const port = await serve(t, (exchange) => {
      const answer = () => {
        exchange.head(200, [], null);
        exchange.write(Buffer.from(exchange.target));
        exchange.end();
      };
      if (exchange.target === '/slow') release = answer;
      else {
        answer();
        setImmediate(() => release?.());
      }
    });
    const bytes = await exchangeBytes(port, `GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${get('/fast')}`);
    const first = parseAnswer(bytes);
    assert.deepEqual([first.body, parseAnswer(first.rest).body], ['/slow', '/fast']);
  });

  it('answers HTTP/1.0 without chunks and closes', async (t) => {
    const port = await serve(t, (exchange) => {
      exchange.head(200, [], null);
      exchange.write(Buffer.from('abc'));
      exchange.end();
    });
    const bytes = await exchangeBytes(port, 'GET / HTTP/1.0\r\n\r\n');
    assert.ok(bytes.endsWith('\r\n\r\nabc'), bytes);
  });

  it('sends no body to HEAD', async (t) => {
    const port = await serve(t, (exchange) => {
      exchange.head(200, ['Content-Type', 'text/plain'], 17);
      exchange.write(Buffer.from('Ollama is running'));
      exchange.end();
    });
    const bytes = await exchangeBytes(port, 'HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.ok(bytes.endsWith('\r\n\r\n'), bytes);
    assert.match(bytes, /Content-Length: 17/);
  });

  it('cuts so that what was written arrives and nobody takes it for whole', async (t) => {
    const port = await serve(t, (exchange) => {
      exchange.head(200, [], null);
      exchange.write(Buffer.from('part'));
      exchange.cut();
    });
    const bytes = await exchangeBytes(port, get());
    assert.ok(bytes.includes('part'));
    assert.throws(() => parseAnswer(bytes), /cut/);
  });

  it('tells once that the client left, and aborts the signal, only when the answer was not whole', async (t) => {
    const seen: string[] = [];
    const gone = Promise.withResolvers<void>();
    const port = await serve(t, (exchange) => {
      exchange.left.addEventListener('abort', () => seen.push(`left ${exchange.target}`));
      exchange.onClose = () => {
        seen.push(`closed ${exchange.target}`);
        if (exchange.target === '/stay') gone.resolve();
      };
      exchange.head(200, [], null);
      exchange.write(Buffer.from('x'));
      if (exchange.target === '/whole') exchange.end();
    });
    await exchangeBytes(port, get('/whole'));
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /stay HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'data');
    socket.destroy();
    await gone.promise;
    assert.deepEqual(seen, ['closed /whole', 'left /stay', 'closed /stay']);
  });

  it('says when there is no room and when there is again', async (t) => {
    const rooms: boolean[] = [];
    const full = Promise.withResolvers<void>();
    const port = await serve(t, (exchange) => {
      exchange.onRoom = (room) => {
        rooms.push(room);
        if (room) exchange.end();
        else full.resolve();
      };
      exchange.head(200, [], null);
      const piece = Buffer.alloc(256 * 1024, 'a');
      const more = () => {
        if (rooms.length > 0) return;
        exchange.write(piece);
        setImmediate(more);
      };
      more();
    });
    const socket = connect(port, '127.0.0.1');
    socket.pause();
    socket.write(get());
    await full.promise;
    socket.resume();
    await once(socket, 'close');
    assert.deepEqual(rooms, [false, true]);
  });

  it('notices within a turn that a client does not take what a fast backend sends', async (t) => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    const most = 64 * 1024 * 1024;
    const written = Promise.withResolvers<number>();
    const port = await serve(t, (exchange) => {
      const state = { hasRoom: true };
      exchange.onRoom = (room) => void (state.hasRoom = room);
      exchange.head(200, ['Content-Type', 'application/x-ndjson'], null);
      while (state.hasRoom && exchange.bytesOut < most) exchange.write(piece);
      written.resolve(exchange.bytesOut);
    });
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.pause();
    socket.write(get());
    assert.ok((await written.promise) < most);
  });

  it('takes one piece more for a client that takes nothing, and not what it would gather, when all have lagged too far', async (t) => {
    const others = 1024 * 1024;
    const flow: FlowLimits = { ...roomy, budget: { used: others, limit: others } };
    const piece = Buffer.alloc(1024, 'x');
    const kept = Promise.withResolvers<number>();
    const port = await serve(
      t,
      (exchange) => {
        const state = { hasRoom: true };
        exchange.onRoom = (room) => void (state.hasRoom = room);
        exchange.head(200, ['Content-Type', 'application/x-ndjson'], null);
        const more = (): void => {
          for (let count = 0; state.hasRoom && count < 100; count += 1) exchange.write(piece);
          if (state.hasRoom) setImmediate(more);
          else kept.resolve(flow.budget.used - others - exchange.request.socket.writableLength);
        };
        more();
      },
      flow,
    );
    const socket = connect(port, '127.0.0.1');
    t.after(() => socket.destroy());
    socket.pause();
    socket.write(get());
    assert.equal(await kept.promise, piece.length);
  });

  it('gives a slow reader every byte in order, keeps no more than its limits, and gives the budget back', async (t) => {
    const flow: FlowLimits = { ...roomy, budget: { used: 0, limit: 100 * 1024 } };
    const total = 8 * 1024 * 1024;
    let most = 0;
    const closed = Promise.withResolvers<void>();
    const port = await serve(
      t,
      (exchange) => {
        exchange.onClose = closed.resolve;
        exchange.head(200, [], null);
        let sent = 0;
        let isPaused = false;
        const more = (): void => {
          most = Math.max(most, flow.budget.used);
          if (isPaused) return;
          if (sent === total) return exchange.end();
          const piece = Buffer.alloc(1024, sent / 1024);
          sent += piece.length;
          exchange.write(piece);
          setImmediate(more);
        };
        exchange.onRoom = (room) => {
          isPaused = !room;
          if (room) more();
        };
        more();
      },
      flow,
    );
    const body = parseAnswer(await exchangeBytes(port, get())).body;
    assert.equal(body.length, total);
    for (let index = 0; index < total; index += 1024) assert.equal(body.charCodeAt(index), (index / 1024) % 256);
    await closed.promise;
    assert.ok(most <= 100 * 1024, `${most}`);
    assert.equal(flow.budget.used, 0);
  });

  it('cuts a client that takes nothing for the stall time, and not before', async (t) => {
    const clock = virtualClock();
    const flow: FlowLimits = { ...roomy, clock, stallMs: 60_000 };
    const full = Promise.withResolvers<NodeExchange>();
    const port = await serve(
      t,
      (exchange) => {
        let hasRoom = true;
        exchange.onRoom = () => {
          hasRoom = false;
          full.resolve(exchange);
        };
        exchange.head(200, [], null);
        const more = (): void => {
          exchange.write(Buffer.alloc(64 * 1024));
          if (hasRoom) setImmediate(more);
        };
        more();
      },
      flow,
    );
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const exchange = await full.promise;
    await clock.advance(59_999);
    assert.equal(exchange.hasStalled, false);
    await clock.advance(2);
    assert.equal(exchange.hasStalled, true);
    socket.destroy();
  });
});
