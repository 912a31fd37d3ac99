import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { runInNewContext } from 'node:vm';
import { asScope, createPage } from '../../../src/http/page/page.ts';

const folder = new URL('../../../src/http/page/script/', import.meta.url);

describe('the page', () => {
  it('is one file of at most 80 KiB that names no other place', () => {
    const { html } = createPage();
    assert.ok(Buffer.byteLength(html) <= 80 * 1024, `${Buffer.byteLength(html)} bytes`);
    assert.doesNotMatch(html, /\/\*(?:style|script)\*\//);
    const places = [...html.matchAll(/(?:https?:)?\/\/[\w.-]+\.\w+[^\s'"`)]*/g)].map(([place]) => place);
    assert.deepEqual([...new Set(places)], ['http://www.w3.org/2000/svg']);
    assert.doesNotMatch(html, /<(?:link|script|img|iframe)[^>]+(?:src|href)="(?!data:)/);
  });

  it('has every module, and each imports only from those before it', () => {
    const { html } = createPage();
    for (const file of readdirSync(folder)) {
      const name = file.replace('.mjs', '');
      const source = readFileSync(new URL(file, folder), 'utf8');
      const at = html.indexOf(`const $${name}=`);
      assert.ok(at >= 0, name);
      for (const [, from] of source.matchAll(/from '\.\/(\w+)\.mjs'/g)) {
        const place = html.indexOf(`const $${from}=`);
        assert.ok(place >= 0 && place < at, `${name} after ${from}`);
      }
    }
  });

  it('puts nothing into the document but text', () => {
    for (const file of readdirSync(folder)) {
      const source = readFileSync(new URL(file, folder), 'utf8');
      assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b/, file);
    }
  });

  it('allows the browser its own script and style, the gateway, and nothing else', () => {
    const { html, policy } = createPage();
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/]{43}='; style-src 'sha256-[\w+/]{43}='; /);
    assert.doesNotMatch(policy, /unsafe/);
    assert.doesNotMatch(html, /\son\w+=|\sstyle="/);
  });

  it('makes scopes of modules, whatever their imports look like', () => {
    const source = [
      '/** About it. */',
      "import { a } from './x.mjs';",
      "import {\n  b,\n  c,\n} from './y.mjs';",
      '',
      '// Why.',
      'export const d = a + b;',
      'export function e() {\n  return c;\n}',
      'export async function f() {}',
    ].join('\n');
    const scope = asScope('z', source);
    const before = { $x: { a: 1 }, $y: { b: 2, c: 3 } };
    assert.equal(runInNewContext(`${scope}\n[$z.d, $z.e(), typeof $z.f].join()`, before), '3,3,function');
  });
});
