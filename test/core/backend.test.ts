import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AUTO_SLOTS, backendSpecs, modelFilter, slotsOf, type BackendOptions } from '../../src/core/backend.ts';

function options(url: string, rest: Partial<BackendOptions> = {}): BackendOptions {
  return { url, weight: 1, slots: 'auto', ...rest };
}

function names(...backends: readonly BackendOptions[]): readonly string[] {
  return backendSpecs(backends).map(({ id }) => id);
}

describe('backend specs', () => {
  it('name an unnamed backend after its host and port', () => {
    assert.deepEqual(
      names(
        options('http://10.0.0.2:11434'),
        options('https://gpu.example'),
        options('http://[fe80::1]:11434/ollama'),
        options('http://host_1:1'),
      ),
      ['10.0.0.2-11434', 'gpu.example', 'fe80--1--11434', 'host_1-1'],
    );
  });

  it('number names that would be the same, and leave given names alone', () => {
    assert.deepEqual(
      names(
        options('http://a:1/x'),
        options('http://a:1/y'),
        options('http://b:1', { name: 'a-1-2' }),
        options('http://a:1/z'),
      ),
      ['a-1', 'a-1-3', 'a-1-2', 'a-1-4'],
    );
  });

  it('are safe as a metric label whatever the host', () => {
    for (const id of names(options(`http://${'x'.repeat(60)}.example:11434`), options('http://-:1'))) {
      assert.match(id, /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
    }
  });

  it('drop the trailing slash, keep the path, and carry the connection on', () => {
    const [spec] = backendSpecs([options('http://a:1/ollama//', { slots: 7, models: ['m'], auth: { token: 't' } })]);
    assert.deepEqual(spec, {
      id: 'a-1',
      url: 'http://a:1/ollama',
      weight: 1,
      slots: 7,
      models: ['m'],
      auth: { token: 't' },
    });
    assert.equal(slotsOf(spec), 7);
    assert.equal(slotsOf({ ...spec, slots: 'auto' }), AUTO_SLOTS);
  });
});

describe('model filter', () => {
  it('takes names with their defaults, and patterns', () => {
    const cases: readonly (readonly [readonly string[], string, boolean])[] = [
      [['llama3.2'], 'llama3.2:latest', true],
      [['llama3.2'], 'llama3.2:3b', false],
      [['Llama3.2:3B'], 'llama3.2:3b', true],
      [['llama3*'], 'llama3.2:3b', true],
      [['llama3*'], 'codellama3:latest', false],
      [['*:3b'], 'llama3.2:3b', true],
      [['LLAMA?.2:*'], 'llama3.2:3b', true],
      [['llama?.2:*'], 'llama33.2:3b', false],
      [['llama3.2:3b'], 'llama3x2:3b', false],
      [['llama3.*'], 'llama3x2:3b', false],
      [['hf.co/*'], 'hf.co/ns/m:latest', true],
      [['*'], 'anything:latest', true],
      [[], 'anything:latest', false],
      [['no', 'yes'], 'yes:latest', true],
    ];
    for (const [patterns, model, allowed] of cases) {
      assert.equal(modelFilter(patterns)(model), allowed, `${JSON.stringify(patterns)} and ${model}`);
    }
  });

  it('matches as the pattern read as a regular expression would', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
    fc.assert(
      fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 }), (glob, text) => {
        fc.pre(/[*?]/.test(glob));
        const expression = new RegExp(`^${glob.replaceAll('?', '.').replaceAll('*', '.*')}$`);
        assert.equal(modelFilter([glob])(text), expression.test(text), `${glob} and ${text}`);
      }),
    );
  });

  it('does not take exponential time on hostile patterns and names', () => {
    const allows = modelFilter([`${'*a'.repeat(30)}b`]);
    assert.equal(allows('a'.repeat(400)), false);
  });
});
