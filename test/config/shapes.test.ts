/** Shapes of options that rooms may use, whether or not one does: what is read, shown, documented and checked by editors. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { Type, type TSchema } from 'typebox';
import { describeSections, editorSchema } from '../../src/config/describe.ts';
import { renderEffective, write } from '../../src/config/effective.ts';
import { renderOrigin, type Layer } from '../../src/config/problem.ts';
import { expand, resolve } from '../../src/config/resolve.ts';
import { schemaNode } from '../../src/config/schema-node.ts';
import { settingsOf } from '../../src/config/settings.ts';
import { readWritten } from '../../src/config/written.ts';
import { Duration, Secret, Size } from '../../src/core/options.ts';

const closed = { additionalProperties: false } as const;
const text = (description: string) => Type.String({ description });

const source = Type.Union(
  [
    Type.Object({ kind: Type.Literal('file'), path: text('The file.') }, { ...closed, description: 'From a file.' }),
    Type.Object(
      { kind: Type.Literal('dns'), every: Duration({ description: 'How often.', default: '30s' }) },
      { ...closed, description: 'From DNS.' },
    ),
  ],
  { description: 'Where from.', default: { kind: 'dns' } },
);

const key = Type.Object(
  { secret: Secret({ description: 'The key.' }), rate: Type.Optional(Size({ description: 'Bytes a second.' })) },
  { ...closed, description: 'One key.' },
);

const schema = schemaNode(
  Type.Object(
    {
      aliases: Type.Record(Type.String(), Type.String(), { description: 'Other names.', default: {} }),
      keys: Type.Record(Type.String(), key, { description: 'Keys by name.', default: {} }),
      source,
      chains: Type.Array(Type.Array(Type.String()), { description: 'Chains.', default: [] }),
      tls: Type.Optional(
        Type.Object({ cert: text('A certificate.'), key: text('A key.') }, { ...closed, description: 'TLS.' }),
      ),
    },
    closed,
  ),
);

function layer(name: string, value: unknown): Layer {
  return { value, where: () => ({ kind: 'flag', name }) };
}

function resolved(...values: readonly unknown[]): ReturnType<typeof resolve> {
  const candidates = values.map((value, i) => ({
    layer: layer(`layer ${i}`, value),
    value: expand(schema, value),
    spoilt: new Set<string>(),
    isCut: false,
  }));
  return resolve(schema, candidates);
}

describe('maps, choices and lists of lists', () => {
  it('have their defaults, and no optional section that nobody wrote', () => {
    assert.deepEqual(resolved().value, { aliases: {}, keys: {}, source: { kind: 'dns', every: 30_000 }, chains: [] });
  });

  it('are read down to their innermost value', () => {
    const { value, problems } = resolved({
      aliases: { 'gpt-4o': 'llama3.3:70b' },
      keys: { a: { secret: 's', rate: '1KiB' } },
      source: { kind: 'file', path: '/x' },
      chains: [['a', 'b'], []],
    });
    assert.deepEqual(problems, []);
    assert.deepEqual(value, {
      aliases: { 'gpt-4o': 'llama3.3:70b' },
      keys: { a: { secret: 's', rate: 1024 } },
      source: { kind: 'file', path: '/x' },
      chains: [['a', 'b'], []],
    });
  });

  it('are taken whole from the highest place, while sections merge', () => {
    const { value, origins } = resolved(
      { aliases: { a: 'x' }, tls: { cert: 'c' } },
      { aliases: { b: 'y' }, tls: { key: 'k' } },
    );
    assert.deepEqual((value as { aliases: object }).aliases, { a: 'x' });
    assert.deepEqual((value as { tls: object }).tls, { cert: 'c', key: 'k' });
    assert.equal(renderOrigin(origins.get('tls.key')!), 'layer 1');
  });

  it('may have defaults in milliseconds and bytes, which are shown with their unit', () => {
    const plain = schemaNode(
      Type.Object({
        wait: Duration({ description: 'A wait.', default: 45_000 }),
        room: Size({ description: 'Room.', default: 2048 }),
      }),
    );
    assert.deepEqual(resolve(plain, []).value, { wait: 45_000, room: 2048 });
    assert.deepEqual(
      describeSections(plain).flatMap(({ rows }) => rows.map((row) => row.default)),
      ['45s', '2KiB'],
    );
  });

  it('say what is missing in them', () => {
    const said = resolved({ keys: { a: {} }, tls: { cert: 'c' } }).problems.map(({ message }) => message);
    assert.deepEqual(said, [
      '`keys.a` needs `secret`, which has no default',
      '`tls` needs `key`, which has no default',
    ]);
  });

  it('keep a name that means something to JavaScript an ordinary name', () => {
    const { value } = resolved(JSON.parse('{"aliases": {"__proto__": "x", "constructor": "y"}}'));
    const { aliases } = value as { aliases: object };
    assert.deepEqual(Object.entries(aliases), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });

  it('are shown as they would be written, without secrets', () => {
    const { value, origins } = resolved({
      keys: { a: { secret: 's', rate: '1KiB' } },
      source: { kind: 'dns', every: '1m' },
      chains: [['a']],
    });
    assert.deepEqual(write(schema, value), {
      aliases: {},
      keys: { a: { secret: '[redacted]', rate: '1KiB' } },
      source: { kind: 'dns', every: '1m' },
      chains: [['a']],
    });
    assert.match(renderEffective(schema, value, origins), /^ {4}rate: 1KiB # layer 0$/m);
  });

  it('can be set by one variable each, in YAML or JSON', () => {
    const settings = new Map(settingsOf(schema).map((setting) => [setting.env, setting]));
    assert.deepEqual(
      [...settings.keys()],
      ['LLAMERO_ALIASES', 'LLAMERO_KEYS', 'LLAMERO_SOURCE', 'LLAMERO_CHAINS', 'LLAMERO_TLS_CERT', 'LLAMERO_TLS_KEY'],
    );
    assert.deepEqual(readWritten(settings.get('LLAMERO_ALIASES')!.schema, '{gpt-4o: llama3.3:70b}'), {
      'gpt-4o': 'llama3.3:70b',
    });
    assert.deepEqual(readWritten(settings.get('LLAMERO_CHAINS')!.schema, '[[a, b], [c]]'), [['a', 'b'], ['c']]);
  });

  it('are documented', () => {
    const rows = describeSections(schema).flatMap(({ rows: all }) =>
      all.map(({ name, type, isRequired }) => `${name}: ${type}${isRequired ? '!' : ''}`),
    );
    assert.deepEqual(rows, [
      'aliases: names with texts',
      'keys: names with sections',
      'keys.<name>.secret: secret!',
      'keys.<name>.rate: size',
      'source: `file`, `dns`',
      'source (file).path: text!',
      'source (dns).every: duration',
      'chains: list of lists of texts',
      'tls.cert: text!',
      'tls.key: text!',
    ]);
    assert.deepEqual(describeSections(schema)[2]?.choices, [
      { name: 'file', description: 'From a file.' },
      { name: 'dns', description: 'From DNS.' },
    ]);
  });

  it('are checked by editors', () => {
    const fits = new Ajv({ strictTypes: false }).compile(editorSchema(schema));
    const good = [
      {},
      { keys: { a: { secret: 's' } } },
      { source: { kind: 'file', path: 'x' } },
      { chains: [['a']] },
      { aliases: { a: 'b' } },
    ];
    const bad = [
      { keys: { a: {} } },
      { source: { kind: 'file' } },
      { source: { kind: 'fax' } },
      { source: 'file' },
      { chains: [3] },
      { aliases: { a: 1 } },
      { tls: { cert: 'c', key: 'k', x: 1 } },
    ];
    for (const value of good) assert.equal(fits(value), true, JSON.stringify(value));
    for (const value of bad) assert.equal(fits(value), false, JSON.stringify(value));
  });
});

it('a schema that is not closed is still read', () => {
  const open: TSchema = Type.Object({ a: Type.Optional(Type.Unsafe({ description: 'Anything.' })) });
  assert.deepEqual(
    resolve(schemaNode(open), [{ layer: layer('x', {}), value: { a: [1] }, spoilt: new Set(), isCut: false }]).value,
    { a: [1] },
  );
});
