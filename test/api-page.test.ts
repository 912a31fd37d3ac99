/** docs/api.md is written by hand; this holds it to the routes, headers and options that exist. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { configSchema } from '../src/config/schema.ts';
import { settingsOf } from '../src/config/settings.ts';
import { dialects } from '../src/dialects/index.ts';

const root = new URL('..', import.meta.url);
const page = await readFile(new URL('docs/api.md', root), 'utf8');
const rows = page.split('\n').filter((line) => line.startsWith('|'));

describe('docs/api.md', () => {
  it('has a row for every route, with its methods', () => {
    const methods = new Map<string, string[]>();
    for (const { method, path } of Object.values(dialects).flatMap((dialect) => dialect.routes)) {
      methods.set(path, [...(methods.get(path) ?? []), method]);
    }
    for (const [path, names] of methods) {
      const row = rows.find((line) => line.includes(`| \`${path}\` |`));
      assert.ok(row !== undefined, path);
      assert.deepEqual(row.split('|')[1]!.trim().split(', ').sort(), names.sort(), path);
    }
  });

  it('names every header of ours, and no other', async () => {
    const files = await readdir(new URL('src/http', root), { recursive: true });
    const code = await Promise.all(
      files.filter((name) => name.endsWith('.ts')).map((name) => readFile(new URL(`src/http/${name}`, root), 'utf8')),
    );
    const headers = new Set(
      code
        .join('\n')
        .match(/x-llamero-[a-z]+/gi)!
        .map((name) => name.toLowerCase()),
    );
    const named = new Set(page.match(/x-llamero-[a-z]+/g));
    assert.deepEqual([...named].sort(), [...headers].sort());
  });

  it('names options that exist', () => {
    const options = new Set(settingsOf(configSchema).map(({ path }) => path.join('.')));
    for (const [, name] of page.matchAll(/`((?:surface|streams|placement|listen|probes)\.[a-zA-Z]+)(?::[^`]*)?`/g)) {
      assert.ok(options.has(name!), name!);
    }
  });

  it('states the defaults of placement', () => {
    const defaults = new Map(
      settingsOf(configSchema).map(({ path, schema }) => [path.join('.'), schema.default] as const),
    );
    const cells = rows.find((line) => line.startsWith('| default |'))!.match(/`(\w+)`/g);
    const wanted = ['pull', 'push', 'create', 'copy', 'signout'].map(
      (name) => `\`${String(defaults.get(`placement.${name}`))}\``,
    );
    assert.deepEqual(cells, wanted);
    assert.equal(defaults.get('placement.delete'), defaults.get('placement.copy'));
  });
});
