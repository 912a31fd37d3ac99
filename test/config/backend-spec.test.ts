import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { completeUrl, parseBackendSpec, splitBackendSpecs } from '../../src/config/backend-spec.ts';

describe('the short form of a backend', () => {
  it('is a URL, with a name before it and options behind it', () => {
    assert.deepEqual(parseBackendSpec('http://10.0.0.2:11434'), { url: 'http://10.0.0.2:11434' });
    assert.deepEqual(parseBackendSpec('gpu1=http://10.0.0.2:11434#weight=2,slots=4'), {
      name: 'gpu1',
      url: 'http://10.0.0.2:11434',
      weight: 2,
      slots: 4,
    });
    assert.deepEqual(parseBackendSpec('http://a#slots=auto&weight=0.5'), {
      url: 'http://a',
      slots: 'auto',
      weight: 0.5,
    });
  });

  it('needs neither scheme nor port, as with OLLAMA_HOST', () => {
    assert.equal(completeUrl('gpu'), 'http://gpu:11434');
    assert.equal(completeUrl('gpu:8080'), 'http://gpu:8080');
    assert.equal(completeUrl('gpu/prefix'), 'http://gpu:11434/prefix');
    assert.equal(completeUrl('[::1]'), 'http://[::1]:11434');
    assert.equal(completeUrl('[::1]:80'), 'http://[::1]:80');
    assert.equal(completeUrl('https://gpu'), 'https://gpu');
  });

  it('keeps what it does not understand, for validation to name', () => {
    assert.deepEqual(parseBackendSpec('a=b#slotz=many'), { name: 'a', url: 'http://b:11434', slotz: 'many' });
    assert.deepEqual(parseBackendSpec(''), { url: '' });
  });

  it('does not reach into prototypes', () => {
    const spec = parseBackendSpec('http://a#__proto__=1');
    assert.equal(Object.getPrototypeOf(spec), Object.prototype);
    assert.ok(Object.hasOwn(spec, '__proto__'), 'so that it is refused like every unknown option');
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof parseBackendSpec(text) === 'object'));
  });
});

describe('several backends in one text', () => {
  it('are separated by commas, semicolons or blanks', () => {
    assert.deepEqual(splitBackendSpecs('http://a:1,http://b:2'), ['http://a:1', 'http://b:2']);
    assert.deepEqual(splitBackendSpecs('http://a:1; http://b:2\nc'), ['http://a:1', 'http://b:2', 'c']);
    assert.deepEqual(splitBackendSpecs(' ,;a,, '), ['a']);
    assert.deepEqual(splitBackendSpecs(''), []);
  });

  it('may have options with commas, and names', () => {
    assert.deepEqual(splitBackendSpecs('g=http://a#weight=2,slots=4,h=http://b#slots=1'), [
      'g=http://a#weight=2,slots=4',
      'h=http://b#slots=1',
    ]);
    assert.deepEqual(splitBackendSpecs('a:1,g=b:1'), ['a:1', 'g=b:1']);
    assert.deepEqual(splitBackendSpecs('a#slots=2,g=b:11434'), ['a#slots=2', 'g=b:11434']);
  });

  it('come apart into the specs they were made of', () => {
    const name = fc.option(fc.stringMatching(/^[a-z][a-z0-9]{0,5}$/), { nil: null });
    const options = fc.option(
      fc.record({ weight: fc.integer({ min: 1, max: 9 }), slots: fc.integer({ min: 1, max: 9 }) }),
      { nil: null },
    );
    const spec = fc
      .record({ name, port: fc.integer({ min: 1, max: 65_535 }), options })
      .map(({ name: n, port, options: o }) => {
        return `${n === null ? '' : `${n}=`}http://h:${port}${o === null ? '' : `#weight=${o.weight},slots=${o.slots}`}`;
      });
    fc.assert(
      fc.property(fc.array(spec), fc.constantFrom(',', ';', ' '), (specs, separator) => {
        assert.deepEqual(splitBackendSpecs(specs.join(separator)), specs);
      }),
    );
  });
});
