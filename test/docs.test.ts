/** What is generated is current and complete, and every example is a configuration. test/prose.test.ts looks at the rest. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { describeSections, editorSchema } from '../src/config/describe.ts';
import { exposureProblems } from '../src/config/exposure.ts';
import { loadConfig } from '../src/config/load.ts';
import { renderProblem } from '../src/config/problem.ts';
import { configSchema } from '../src/config/schema.ts';
import { shapeOf, type SchemaNode } from '../src/config/schema-node.ts';
import { settingsOf } from '../src/config/settings.ts';
import { failures } from '../src/core/errors.ts';
import { policies } from '../src/core/policies/index.ts';
import { staleFiles } from '../tools/generate.ts';
import { memoryFiles } from './support/io.ts';

const root = new URL('..', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const examples = [
  'config/llamero.yaml',
  ...readdirSync(new URL('config/examples/', root)).map((name) => `config/examples/${name}`),
];

describe('generated files', () => {
  it('are what the code says', () => {
    const stale = staleFiles(root).map(({ path }) => path);
    assert.deepEqual(stale, [], `run \`npm run gen\` and commit ${stale.join(', ')}`);
  });

  it('name every failure with its help', () => {
    const page = read('docs/errors.md');
    for (const [code, { help }] of Object.entries(failures)) {
      assert.ok(page.includes(`| \`${code}\` |`), code);
      assert.ok(help.length > 10, `${code} says what to do`);
    }
  });

  it('name every option, its variable and every policy', () => {
    const page = read('docs/configuration.md');
    for (const { env } of settingsOf(configSchema)) assert.ok(page.includes(`\`${env}\``), env);
    for (const { rows } of describeSections(configSchema))
      for (const { name } of rows) assert.ok(page.includes(`| \`${name}\` |`), name);
    for (const name of Object.keys(policies)) assert.ok(page.includes(`- \`${name}\`: `), name);
  });
});

/** Every schema under this one with its path, itself included. */
function everySchema(
  schema: SchemaNode,
  path: string,
): { readonly path: string; readonly schema: SchemaNode; readonly isTag: boolean }[] {
  const shape = shapeOf(schema);
  const own = { path, schema, isTag: schema.const !== undefined };
  switch (shape.kind) {
    case 'section':
      return [
        own,
        ...Object.entries(shape.properties).flatMap(([key, property]) => everySchema(property, `${path}.${key}`)),
      ];
    case 'choice':
      return [own, ...[...shape.members].flatMap(([tag, member]) => everySchema(member, `${path}(${tag})`))];
    case 'list':
      return [own, ...(shapeOf(shape.items).kind === 'leaf' ? [] : everySchema(shape.items, `${path}[]`))];
    case 'map':
      return [own, ...(shapeOf(shape.values).kind === 'leaf' ? [] : everySchema(shape.values, `${path}.*`))];
    case 'leaf':
      return [own];
  }
}

describe('the option schemas', () => {
  const all = Object.entries(configSchema.properties ?? {}).flatMap(([key, schema]) => everySchema(schema, key));

  it('describe every option in a sentence', () => {
    for (const { path, schema, isTag } of all)
      if (!isTag) assert.match(schema.description ?? '', /^[A-Z`*].*[.!]$/s, path);
  });

  it('take no option they do not know', () => {
    const open = all.filter(({ schema }) => schema.properties && schema.additionalProperties !== false);
    assert.deepEqual(
      open.map(({ path }) => path),
      [],
    );
  });

  it('give no two options one variable', () => {
    const names = settingsOf(configSchema).flatMap(({ env }) => [env, `${env}_FILE`]);
    assert.deepEqual(
      names.filter((name, i) => names.indexOf(name) !== i),
      [],
    );
    assert.ok(!names.includes('LLAMERO_CONFIG'));
  });
});

describe('the examples', () => {
  /** Files they name for certificates. */
  const certificates = {
    '/etc/llamero/ca.pem': '',
    '/etc/llamero/gateway.pem': '',
    '/etc/llamero/gateway-key.pem': '',
  };
  const fitsEditor = new Ajv({ allErrors: true }).compile(editorSchema(configSchema));

  for (const path of examples) {
    it(`${path} loads without a warning`, async () => {
      const loaded = await loadConfig({
        file: path,
        env: { OLLAMA_TOKEN: 'token', ADMIN_TOKEN: 'token' },
        flags: null,
        files: memoryFiles({ ...certificates, [path]: read(path) }),
      });
      if (!loaded.ok) assert.fail(loaded.problems.map(renderProblem).join('\n'));
      assert.deepEqual(loaded.warnings, []);
      assert.deepEqual(exposureProblems(loaded), []);
    });

    it(`${path} is fine for an editor, which finds its schema`, () => {
      const text = read(path);
      const [, schema] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
      assert.equal(posix.join(posix.dirname(path), schema ?? ''), 'config/llamero.schema.json');
      assert.ok(fitsEditor(parse(text)), JSON.stringify(fitsEditor.errors, null, 1));
    });
  }

  it('are refused by an editor when they are wrong', () => {
    const wrong = [
      { quue: {} },
      { queue: { limit: 'many' } },
      { queue: { timeout: 30 } },
      { queue: { timeout: '30' } },
      { listen: { address: '127.0.0.1' } },
      { listen: { bodyLimit: '5 parsecs' } },
      { policy: 'best' },
      { policy: { name: 'power-of-two', choices: 1 } },
      { backends: [{ name: 'a' }] },
      { backends: [{ url: 'ftp://a' }] },
      { backends: [{ url: 'http://a', slots: 'many' }] },
      { log: { level: 'loud' } },
    ];
    for (const value of wrong) assert.equal(fitsEditor(value), false, JSON.stringify(value));
    for (const value of [
      {},
      { queue: null },
      { queue: { limit: '${LIMIT}', timeout: 0 } },
      { policy: 'random' },
      { backends: ['a=http://b'] },
    ]) {
      assert.equal(fitsEditor(value), true, JSON.stringify(value));
    }
  });
});
