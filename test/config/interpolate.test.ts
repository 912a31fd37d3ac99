import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { interpolate } from '../../src/config/interpolate.ts';

const variables = (name: string) =>
  ({ A: { value: 'one' }, EMPTY: { value: '' }, ODD: { value: '${A}' }, BAD: { problem: 'cannot be read' } })[name];

function filled(text: string): string {
  const { text: result, problems } = interpolate(text, variables);
  assert.deepEqual(problems, []);
  return result;
}

describe('a variable in a file', () => {
  it('is replaced by its value, wherever it stands', () => {
    assert.equal(filled('${A}'), 'one');
    assert.equal(filled('http://${A}:80/${A}'), 'http://one:80/one');
  });

  it('takes its default when it is not set or empty', () => {
    assert.equal(filled('${B:-two}'), 'two');
    assert.equal(filled('${EMPTY:-two}'), 'two');
    assert.equal(filled('${B:-}'), '');
    assert.equal(filled('${A:-two}'), 'one');
    assert.equal(filled('${B:-http://a:1}'), 'http://a:1');
  });

  it('that is empty is empty when there is no default', () => {
    assert.equal(filled('x${EMPTY}y'), 'xy');
  });

  it('is not looked for in what was filled in', () => {
    assert.equal(filled('${ODD}'), '${A}');
  });

  it('can be written without being meant', () => {
    assert.equal(filled('$${A}'), '${A}');
    assert.equal(filled('$A costs $5 {x}'), '$A costs $5 {x}');
  });

  it('that is not set, not readable or not a name is a problem', () => {
    assert.match(interpolate('${B}', variables).problems[0]!, /`B` is not set/);
    assert.match(interpolate('${BAD}', variables).problems[0]!, /cannot be read/);
    for (const text of ['${}', '${A', '${1A}', '${A-x}', '${A:=x}', '${ A }']) {
      assert.match(interpolate(text, variables).problems[0]!, /write `\$\$\{`/, text);
    }
    assert.equal(interpolate('${B} ${C}', variables).problems.length, 2);
  });

  it('leaves every text alone that has none', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('${')),
        (text) => filled(text) === text,
      ),
    );
  });
});
