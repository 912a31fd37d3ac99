import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createShowCache, type ShowAnswer } from '../../src/http/show-cache.ts';

const answer = (size: number): ShowAnswer => ({ headers: [], length: null, body: Buffer.alloc(size, 'x') });
const request = Buffer.from('{"model":"tiny"}');

describe('the memory of show', () => {
  it('keeps an answer for the digest and the very request', () => {
    const cache = createShowCache(10_000);
    const kept = answer(100);
    cache.put('d1', request, kept);
    assert.equal(cache.get('d1', request), kept);
    assert.equal(cache.get('d2', request), null);
    assert.equal(cache.get('d1', Buffer.from('{"model":"tiny","verbose":true}')), null);
  });

  it('drops what was asked for least lately when it is full', () => {
    const cache = createShowCache(10_000);
    for (const name of ['a', 'b', 'c', 'd']) cache.put(name, request, answer(2400));
    cache.get('a', request);
    cache.put('e', request, answer(2400));
    const kept = ['a', 'b', 'c', 'd', 'e'].filter((name) => cache.get(name, request) !== null);
    assert.deepEqual(kept, ['a', 'c', 'd', 'e']);
  });

  it('counts an answer that replaces another once', () => {
    const cache = createShowCache(10_000);
    cache.put('other', request, answer(2000));
    for (let i = 0; i < 50; i += 1) cache.put('same', request, answer(2000));
    assert.notEqual(cache.get('other', request), null);
  });

  it('does not keep what is unusually large, and nothing when it is off', () => {
    const cache = createShowCache(10_000);
    cache.put('a', request, answer(2600));
    cache.put('b', Buffer.alloc(5000, 'x'), answer(1));
    assert.equal(cache.get('a', request), null);
    assert.equal(cache.get('b', Buffer.alloc(5000, 'x')), null);
    const off = createShowCache(0);
    off.put('a', request, answer(1));
    assert.equal(off.get('a', request), null);
  });
});
