import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createHistory } from '../../../src/http/admin/history.ts';
import { finished } from '../../observe/samples.ts';

describe('the history of requests', () => {
  it('keeps the last 250, newest first, and counts all', () => {
    const history = createHistory(() => 7);
    for (let number = 1; number <= 600; number += 1) history.observe(finished({ requestId: String(number) }));
    const ids = history.list().map(({ id }) => id);
    assert.deepEqual([ids.length, ids[0], ids.at(-1), history.count], [250, '600', '351', 600]);
    assert.deepEqual(
      history.since(598).map(({ id }) => id),
      ['600', '599'],
    );
    assert.deepEqual([history.find('351')?.ended_at, history.find('350')], [7, null]);
  });

  it('adds up what each backend has put out', () => {
    const history = createHistory(() => 0);
    history.observe(finished({ backend: 'a', usage: { outputTokens: 5 } }));
    history.observe(finished({ backend: 'a', usage: { outputTokens: 7 } }));
    history.observe(finished({ backend: 'b', usage: {} }));
    assert.deepEqual([...history.tokens], [['a', 12]]);
  });

  it('leaves out what was answered from memory, unless it went wrong', () => {
    const history = createHistory(() => 0);
    history.observe(finished({ backend: null, status: 200 }));
    history.observe(finished({ backend: null, status: 503 }));
    assert.deepEqual(
      history.list().map(({ status }) => status),
      [503],
    );
  });

  it('tells how fast an answer was put out, by the backend’s figures or as its client saw the stream', () => {
    const history = createHistory(() => 0);
    const seen = { stream: true, durationMs: 3000, firstByteMs: 1000 };
    history.observe(finished({ ...seen, usage: { outputTokens: 100, outputMs: 4000 } }));
    history.observe(finished({ ...seen, usage: { outputTokens: 100 } }));
    history.observe(finished({ ...seen, stream: false, usage: { outputTokens: 100 } }));
    assert.deepEqual(
      history.list().map((request) => request.tokens_per_second),
      [null, 50, 25],
    );
  });
});
