import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Type, type TSchema } from 'typebox';
import { Address, Duration, Secret, Size } from '../../src/core/options.ts';
import { renderPath, type Layer } from '../../src/config/problem.ts';
import { schemaNode } from '../../src/config/schema-node.ts';
import { createValidator } from '../../src/config/validate.ts';

/** What is said of the option `it` when it has the schema and the value; null when nothing is. */
function said(schema: TSchema, value: unknown): string | null {
  const section = Type.Object({ it: Type.Optional(schema) }, { additionalProperties: false });
  const layer: Layer = { value: { it: value }, where: (path) => ({ kind: 'flag', name: renderPath(path) }) };
  const { problems } = createValidator(schemaNode(section))(layer);
  assert.ok(problems.length <= 1, problems.map(({ message }) => message).join('\n'));
  return problems[0]?.message ?? null;
}

const about = { description: 'An option.' };

describe('what is said of a value that does not fit', () => {
  it('is what was expected, in words, and what is there', () => {
    const cases: [TSchema, unknown, string][] = [
      [Type.Integer({ minimum: 1 }), 1.5, 'a whole number, at least 1, not `1.5`'],
      [Type.Number({ exclusiveMinimum: 0, maximum: 1 }), 0, 'a number, more than 0, at most 1, not `0`'],
      [Type.Number({ exclusiveMaximum: 5 }), 'x', 'a number, less than 5, not `x`'],
      [Type.Boolean(), 'yes', '`true` or `false`, not `yes`'],
      [Type.String({ minLength: 1 }), '', 'a text, not empty, not an empty text'],
      [Type.String({ maxLength: 2 }), 'abc', 'a text, at most 2 characters, not `abc`'],
      [Type.String({ pattern: '^a' }), 'b', 'a text, matching `^a`, not `b`'],
      [Type.Array(Type.String(), { minItems: 2 }), [], 'a list of at least 2, not a list'],
      [Type.Array(Type.String()), 'a', 'a list, not `a`'],
      [Type.Record(Type.String(), Type.String()), [], 'a section of `name: value` lines, not a list'],
      [Type.Object({}), true, 'a section of `key: value` lines, not `true`'],
      [Type.Union([Type.Literal('a'), Type.Literal('b')]), { a: 1 }, 'one of `a`, `b`, not a section'],
      [Type.Literal('only'), 'onyl', '`only`, not `onyl`; did you mean `only`?'],
      [Type.Integer(), null, 'a whole number, not empty'],
      [Duration(about), '5', 'a duration with its unit, such as `250ms`, `30s`, `10m`, `1h30m` or `0`, not `5`'],
      [Size(about), '5m', 'a size such as `64KiB`, `256MiB`, `16GiB`, not `5m`'],
    ];
    for (const [schema, value, expected] of cases) assert.equal(said(schema, value), `\`it\` should be ${expected}`);
  });

  it("counts the smallest duration and size in the option's own unit", () => {
    assert.match(said(Duration({ ...about, minimum: '50ms' }), '49ms')!, /at least 50ms, not `49ms`$/);
    assert.equal(said(Duration({ ...about, minimum: '50ms' }), '0.05s'), null);
    assert.match(said(Size({ ...about, minimum: '1KiB' }), 1023)!, /at least 1KiB, not `1023`$/);
    assert.equal(said(Size({ ...about, minimum: '1KiB' }), '1KiB'), null);
  });

  it('is one sentence, whatever is wrong inside an alternative', () => {
    const alternatives = Type.Union([Type.Array(Type.Integer()), Type.Literal('auto')]);
    assert.equal(said(alternatives, ['x', 'y']), '`it` should be a list, or `auto`, not a list');
    assert.equal(said(alternatives, 'auto'), null);
    assert.equal(said(alternatives, [1]), null);
  });

  it('is short, visible, and never a secret', () => {
    assert.match(said(Type.Integer(), 'x'.repeat(500))!, /not `x{59}…`$/);
    assert.match(said(Type.Integer(), 'a\u001B[31mb\u0000')!, /not `a·\[31mb·`$/);
    assert.equal(said(Secret(about), 12345), '`it` should be a text, not what is given (not shown, it is a secret)');
    assert.match(said(Address(about), 'http://me:hunter2@host')!, /not `http:\/\/…@host`$/);
  });
});

describe('a section in a map or a list', () => {
  it('has its mistakes named where they are', () => {
    const inner = Type.Object({ size: Type.Integer() }, { additionalProperties: false });
    assert.equal(
      said(Type.Record(Type.String(), inner), { a: { size: 1 }, b: { size: 'x' } }),
      '`it.b.size` should be a whole number, not `x`',
    );
    assert.equal(
      said(Type.Array(inner), [{ size: 1 }, { sise: 1 }]),
      'unknown option `sise` in `it[1]`; did you mean `size`?',
    );
    assert.equal(
      said(Type.Record(Type.String(), inner), { '0': { size: 'x' }, 'a/b~c': { size: 1 } }),
      '`it.0.size` should be a whole number, not `x`',
    );
  });
});
