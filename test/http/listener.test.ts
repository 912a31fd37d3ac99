import assert from 'node:assert/strict';
import { Server } from 'node:net';
import { it, type TestContext } from 'node:test';
import fastify from 'fastify';
import { asListener } from '../../src/http/listener.ts';

/** A listener that only believes it listens, and what Node was asked for to that end. */
function listening(t: TestContext) {
  const asked: unknown[][] = [];
  t.mock.method(Server.prototype, 'address', () => ({ address: '127.0.0.1', family: 'IPv4', port: 4711 }));
  t.mock.method(Server.prototype, 'listen', function (this: Server, ...args: unknown[]) {
    asked.push(args);
    setImmediate(() => this.emit('listening'));
    return this;
  });
  const listener = asListener(fastify(), [], () => {});
  t.after(() => listener.close());
  return { asked, listener };
}

it('lets thousands of connections wait until they are accepted, and not Node’s few hundred', async (t) => {
  const { asked, listener } = listening(t);
  await listener.listen({ host: '127.0.0.1', port: 0 });
  assert.equal((asked[0]![0] as { backlog: number }).backlog, 4096);
});

it('leaves the queue of a socket it inherits as long as it was, and listens on nothing else', async (t) => {
  const { asked, listener } = listening(t);
  assert.equal(await listener.listen({ host: 'localhost', port: 1 }, { inherited: 3 }), '127.0.0.1:4711');
  assert.deepEqual(asked, [[{ fd: 3 }, 4096]]);
});
