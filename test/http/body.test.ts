import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import type { GatewayError } from '../../src/core/errors.ts';
import { receiveBody } from '../../src/http/body.ts';
import { createTurns, LARGE_BODY } from '../../src/http/turns.ts';
import { settled, virtualClock } from '../support/virtual-clock.ts';

const MiB = 1024 ** 2;

/** Bodies that come under one set of turns, each of which is given by `turn`. */
function door(t: TestContext) {
  const due: (() => void)[] = [];
  const turns = createTurns((run) => void due.push(run));
  const limits = { size: 64 * MiB, timeout: 0, minimumRate: 1024, turns };
  const read: string[] = [];
  const bodies = new Map<string, Buffer>();
  return {
    read,
    bodies,
    /** A client whose whole body of `pieces` has come. */
    client(name: string, pieces: readonly Buffer[]) {
      const stream = new PassThrough({ highWaterMark: 64 * MiB });
      t.after(() => stream.destroy());
      const request = Object.assign(stream, { headers: { 'transfer-encoding': 'chunked' } });
      const leaving = new AbortController();
      const exchange = { request: request as unknown as IncomingMessage, left: leaving.signal };
      void receiveBody(exchange, limits, virtualClock()).then(
        (body) => {
          bodies.set(name, body);
          read.push(name);
        },
        (error: GatewayError) => read.push(`${name}: ${error.code}`),
      );
      for (const piece of pieces) stream.write(piece);
      stream.end();
      return { leave: () => leaving.abort() };
    },
    /** Lets one turn of the event loop pass. False when none was wanted. */
    async turn(): Promise<boolean> {
      const all = due.splice(0);
      for (const run of all) run();
      await settled();
      return all.length > 0;
    },
  };
}

const large = [Buffer.alloc(LARGE_BODY - 1, 'a'), Buffer.alloc(1, 'b')];
const small = [Buffer.alloc(LARGE_BODY - 2, 'a'), Buffer.alloc(1, 'b')];

describe('a body', () => {
  it('has a turn of the event loop for itself when it is large, however many come at once', async (t) => {
    const { client, read, turn } = door(t);
    for (const name of ['a', 'b', 'c']) client(name, large);
    await settled();
    assert.deepEqual(read, []);
    for (const expected of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
      assert.equal(await turn(), true);
      assert.deepEqual(read, expected);
    }
    assert.equal(await turn(), false);
  });

  it('waits for no turn when it is small, also behind large ones', async (t) => {
    const { client, read, turn } = door(t);
    client('large', large);
    client('small', small);
    await settled();
    assert.deepEqual(read, ['small']);
    await turn();
    client('another', small);
    await settled();
    assert.deepEqual(read, ['small', 'large', 'another']);
  });

  it('takes no turn when its client leaves before', async (t) => {
    const { client, read, turn } = door(t);
    client('a', large);
    const b = client('b', large);
    client('c', large);
    await settled();
    b.leave();
    await settled();
    assert.deepEqual(read, ['b: client-gone']);
    await turn();
    await turn();
    assert.deepEqual(read, ['b: client-gone', 'a', 'c']);
    assert.equal(await turn(), false);
  });

  it('is put together in several turns when it is very large, and others come between', async (t) => {
    const { bodies, client, read, turn } = door(t);
    const pieces = Array.from({ length: 36 }, (_, index) => Buffer.alloc(MiB, index));
    client('very large', pieces);
    await settled();
    client('large', large);
    await settled();
    let turns = 0;
    while (await turn()) turns++;
    // What a turn receives at most is 4 MiB, what it puts together 16 MiB.
    assert.ok(turns >= 36 / 5 + 36 / 16, `${turns} turns`);
    assert.deepEqual(read, ['large', 'very large']);
    assert.ok(bodies.get('very large')!.equals(Buffer.concat(pieces)));
  });
});

describe('a body that comes slowly', () => {
  /** How it ended, and when: one of which `bytes` come every second. */
  async function slow(t: TestContext, bytes: number): Promise<{ readonly code: string; readonly afterMs: number }> {
    const stream = new PassThrough();
    t.after(() => stream.destroy());
    const request = Object.assign(stream, {
      headers: { 'transfer-encoding': 'chunked' },
    }) as unknown as IncomingMessage;
    const clock = virtualClock();
    const limits = { size: 100 * 1024, timeout: 30_000, minimumRate: 1024, turns: createTurns() };
    const endings: { readonly code: string; readonly afterMs: number }[] = [];
    const begin = clock.now();
    const left = new AbortController().signal;
    void receiveBody({ request, left }, limits, clock).catch(({ code }: GatewayError) => {
      endings.push({ code, afterMs: clock.now() - begin });
    });
    await settled();
    while (endings.length === 0) {
      if (bytes > 0) stream.write(Buffer.alloc(bytes));
      await settled();
      await clock.advance(1000);
    }
    return endings[0]!;
  }

  it('is over in time when it trickles, and may take longer when it keeps the least rate', async (t) => {
    assert.deepEqual(await slow(t, 0), { code: 'receive-timeout', afterMs: 30_000 });
    assert.deepEqual(await slow(t, 30), { code: 'receive-timeout', afterMs: 30_000 });
    const { code, afterMs } = await slow(t, 512);
    assert.equal(code, 'receive-timeout');
    assert.ok(afterMs > 40_000 && afterMs < 70_000, `${afterMs}`);
    assert.equal((await slow(t, 1024)).code, 'body-too-large');
  });
});

describe('turns of the event loop', () => {
  it('are never two in one', async () => {
    const turns = createTurns();
    let turn = 0;
    let isOver = false;
    const count = (): void => {
      turn++;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    const left = new AbortController().signal;
    const taken = await Promise.all(Array.from({ length: 5 }, () => turns.next(left).then(() => turn)));
    isOver = true;
    assert.deepEqual(
      taken,
      taken.map((_, index) => taken[0]! + index),
    );
  });

  it('receive so much of large bodies and no more, of all of them together', () => {
    const due: (() => void)[] = [];
    const turns = createTurns((run) => void due.push(run));
    const wentOn: string[] = [];
    const takes = (name: string, bytes: number) => turns.takes(bytes, () => void wentOn.push(name));
    assert.deepEqual(
      [takes('a', 2 * MiB), takes('b', 2 * MiB), takes('a', 1), takes('b', 1)],
      [true, true, false, false],
    );
    assert.equal(due.length, 1);
    due.pop()!();
    assert.deepEqual(wentOn, ['a', 'b']);
    assert.equal(takes('a', 4 * MiB), true);
    assert.equal(takes('b', 1), false);
  });

  it('are not for a client that has left', async () => {
    const turns = createTurns(() => assert.fail('a turn was asked for'));
    await assert.rejects(turns.next(AbortSignal.abort()), { code: 'client-gone' });
  });
});
