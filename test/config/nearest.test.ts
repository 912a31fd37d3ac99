import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nearest } from '../../src/config/nearest.ts';

const known = ['slots', 'weight', 'models', 'url', 'name'];

describe('the nearest known name', () => {
  it('is found for a typo, a swap of letters, a missing letter and another case', () => {
    assert.equal(nearest('slotz', known), 'slots');
    assert.equal(nearest('wieght', known), 'weight');
    assert.equal(nearest('model', known), 'models');
    assert.equal(nearest('URL', known), 'url');
    assert.equal(nearest('ulr', known), 'url');
  });

  it('is nothing when nothing is near', () => {
    assert.equal(nearest('temperature', known), null);
    assert.equal(nearest('', known), null);
    assert.equal(nearest('slots', []), null);
  });

  it('is the word itself when it is known', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, selector: (s) => s.toLowerCase() }),
        (words) => {
          for (const word of words) assert.equal(nearest(word, words), word);
        },
      ),
    );
  });

  it('is at most one edit away from a word with one edit', () => {
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.constantFrom('q', 'x', ''), (word, at, letter) => {
        const i = at % word.length;
        assert.equal(nearest(word.slice(0, i) + letter + word.slice(i + 1), [word]), word);
      }),
    );
  });
});
