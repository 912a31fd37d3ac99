import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { createPrefixCache } from '../../src/core/prefix-cache.ts';

/** Boundaries of a prompt whose messages are the letters of the text, 100 tokens each. */
function marks(text: string): { hash: string; tokens: number }[] {
  return Array.from(text, (_, index) => ({ hash: text.slice(0, index + 1), tokens: 100 * (index + 1) }));
}

describe('the prefix cache', () => {
  it('finds the longest remembered prefix, and none of another owner', () => {
    const cache = createPrefixCache(10);
    cache.store('r1', marks('abc'));
    cache.store('r1', marks('abx'));
    assert.equal(cache.lookup('r1', marks('abxyz')), 300);
    assert.equal(cache.lookup('r1', marks('abz')), 200);
    assert.equal(cache.lookup('r1', marks('zab')), 0);
    assert.equal(cache.lookup('r2', marks('abc')), 0);
  });

  it('lets a prompt take the place of the one it continues', () => {
    const cache = createPrefixCache(10);
    cache.store('r', marks('ab'));
    cache.store('r', marks('abcd'));
    assert.equal(cache.size(), 1);
    cache.store('r', marks('ax'));
    assert.equal(cache.size(), 2, 'one that only begins alike stands beside it');
    assert.equal(cache.lookup('r', marks('abce')), 300);
  });

  it('finds the prompt that is continued among others that begin alike', () => {
    const cache = createPrefixCache(3);
    for (const text of ['ca', 'aa', 'a', 'ab']) cache.store('r', marks(text));
    assert.equal(cache.size(), 3);
    assert.equal(cache.lookup('r', marks('ca')), 200, 'nothing had to go');
  });

  it('keeps a prompt that was looked up, and forgets the one nobody asked for', () => {
    const cache = createPrefixCache(2);
    cache.store('r', marks('a'));
    cache.store('r', marks('b'));
    cache.lookup('r', marks('a'));
    cache.store('r', marks('c'));
    assert.equal(cache.lookup('r', marks('a')), 100);
    assert.equal(cache.lookup('r', marks('b')), 0);
  });

  it('frees the room of an owner that ended', () => {
    const cache = createPrefixCache(2);
    cache.store('old', marks('a'));
    cache.store('r', marks('b'));
    cache.drop('old');
    assert.equal(cache.size(), 1);
    cache.store('r', marks('c'));
    assert.equal(cache.lookup('r', marks('b')), 100);
  });

  it('never holds more than its capacity and never finds what was not stored', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 }), fc.array(text, { maxLength: 40 }), text, (capacity, texts, asked) => {
        const cache = createPrefixCache(capacity);
        for (const stored of texts) {
          cache.store('r', marks(stored));
          assert.ok(cache.size() <= capacity);
        }
        const found = asked.slice(0, cache.lookup('r', marks(asked)) / 100);
        assert.ok(found === '' || texts.some((stored) => stored.startsWith(found)));
        const last = texts.at(-1);
        if (last !== undefined && capacity > 0) assert.equal(cache.lookup('r', marks(last)), 100 * last.length);
      }),
    );
  });
});
