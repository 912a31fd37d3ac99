import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Ask, BackendClient, Receiver } from '../../src/backends/client.ts';
import { createPull } from '../../src/backends/pull.ts';
import { settled } from '../support/virtual-clock.ts';

function bench() {
  const asks: Ask[] = [];
  const refreshed: string[] = [];
  const ends: (string | null)[] = [];
  let receiver: Receiver | null = null;
  const client = (id: string) => {
    if (id === 'gone') throw new Error('backend gone is not configured');
    const send = (ask: Ask, to: Receiver) => {
      asks.push(ask);
      receiver = to;
      return { abort() {}, pause() {}, resume() {} };
    };
    return { send } as unknown as BackendClient;
  };
  const pull = createPull({
    client,
    refresh: async (id) => void refreshed.push(id),
    silence: () => 1000,
  });
  return {
    asks,
    refreshed,
    ends,
    begin: (id: string) => pull(id, 'tiny:latest', (error) => void ends.push(error)),
    receiver: () => receiver!,
    /** A whole answer, cut into pieces of a few bytes. */
    async answer(status: number, text: string) {
      receiver!.head(status, {});
      for (let at = 0; at < text.length; at += 7) receiver!.data(Buffer.from(text.slice(at, at + 7)));
      receiver!.end();
      await settled();
    },
  };
}

describe('a pull of the gateway’s own', () => {
  it('is done when the backend says success, and the fleet has been told', async () => {
    const { answer, asks, begin, ends, refreshed } = bench();
    begin('a');
    const [{ body, path, repeatable, timeouts }] = asks as [Ask];
    assert.deepEqual([path, String(body), repeatable], ['/api/pull', '{"model":"tiny:latest"}', false]);
    assert.deepEqual([timeouts.idle, timeouts.total], [1000, 0]);
    await answer(
      200,
      '{"status":"pulling manifest"}\n{"status":"pulling a","completed":1,"total":2}\n{"status":"success"}\n',
    );
    assert.deepEqual([ends, refreshed], [[null], ['a']]);
  });

  for (const [what, status, text, error] of [
    ['says what is wrong', 200, '{"status":"pulling manifest"}\n{"error":"no space left"}\n', 'no space left'],
    [
      'refuses',
      500,
      '{"error":"pull model manifest: file does not exist"}',
      'pull model manifest: file does not exist',
    ],
    ['answers something else', 502, 'Bad Gateway', 'it answered 502'],
    ['ends before it is done', 200, '{"status":"pulling a"}\n', 'it ended before it had succeeded'],
  ] as const) {
    it(`has failed when the backend ${what}`, async () => {
      const { answer, begin, ends, refreshed } = bench();
      begin('a');
      await answer(status, text);
      assert.deepEqual([ends, refreshed], [[error], []]);
    });
  }

  it('has failed when the backend is lost, or is no longer configured', () => {
    const { begin, ends, receiver } = bench();
    begin('a');
    receiver().failed({ code: 'backend-lost', message: 'was lost', staleSocket: false, cause: undefined });
    begin('gone');
    assert.deepEqual(ends, ['it was lost', 'backend gone is not configured']);
  });
});
