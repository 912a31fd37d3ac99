/** The hand-written pages name files, commands, options, metrics and fields; all of them have to exist. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { commands, runCommand } from '../src/cli/commands.ts';
import { configFlags } from '../src/cli/flags.ts';
import { loadConfig } from '../src/config/load.ts';
import { configSchema } from '../src/config/schema.ts';
import { settingsOf } from '../src/config/settings.ts';
import { failures } from '../src/core/errors.ts';
import { policyNames } from '../src/core/policies/choice.ts';
import type { PolicyDefinition } from '../src/core/policies/policy.ts';
import { catalogue } from '../src/observe/catalogue.ts';
import { lineOf } from '../src/observe/log-line.ts';
import { finished } from './observe/samples.ts';
import { job } from './support/build.ts';
import { recordedIo } from './support/io.ts';

interface Page {
  readonly path: string;
  readonly text: string;
}

const root = new URL('..', import.meta.url);
const read = (path: string) => readFile(new URL(path, root), 'utf8');
const exists = (path: string) =>
  stat(new URL(path, root)).then(
    () => true,
    () => false,
  );

const decisions = (await readdir(new URL('docs/decisions', root))).sort().map((name) => `docs/decisions/${name}`);
const paths = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'examples/README.md',
  'llms.txt',
  'docs/admin.md',
  'docs/api.md',
  'docs/architecture.md',
  'docs/fairness.md',
  'docs/operations.md',
  'docs/reliability.md',
  'docs/routing.md',
  'docs/tracing.md',
  'docs/runbooks.md',
  'docs/style.md',
  ...decisions,
];
const pages: readonly Page[] = await Promise.all(paths.map(async (path) => ({ path, text: await read(path) })));
const settings = settingsOf(configSchema);
const optionNames = new Set(settings.map(({ path }) => path.join('.')));

function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1]!);
}

/** Text between backticks that stands in a line, as opposed to a block. */
function inlineCode(text: string): string[] {
  return all(text.replace(/^```[\s\S]*?^```/gm, ''), /`([^`\n]+)`/g);
}

function page(path: string): string {
  return pages.find((each) => each.path === path)!.text;
}

for (const { path, text } of pages) {
  describe(path, () => {
    it('links to files that are there, and to headings that are in them', async () => {
      for (const target of all(text, /\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [file = '', heading] = target.split('#');
        const here = new URL(path, root);
        const resolved = file === '' ? here : new URL(file, here);
        assert.ok(await stat(resolved).catch(() => null), target);
        if (heading === undefined) continue;
        const headings = all(await readFile(resolved, 'utf8'), /^#+ (.+)$/gm).map((each) =>
          each.toLowerCase().replace(/ /g, '-'),
        );
        assert.ok(headings.includes(heading), target);
      }
    });

    it('names files that are there', async () => {
      for (const code of inlineCode(text)) {
        if (/^(src|test|docs|config|tools|bench|deploy)\/[\w./-]+$/.test(code))
          assert.ok(code.includes('NAME') || (await exists(code)), code);
        if (/^(core|http|dialects|backends|observe)\/[\w./-]+\.ts$/.test(code))
          assert.ok(await exists(`src/${code}`), code);
      }
    });

    it('names commands and flags that are there', async () => {
      const { scripts } = JSON.parse(await read('package.json')) as {
        readonly scripts: Readonly<Record<string, string>>;
      };
      for (const script of all(text, /npm run (\w+(?::\w+)*)/g)) assert.ok(Object.hasOwn(scripts, script), script);
      for (const command of all(text, /(?:`llamero|src\/main\.ts) ([a-z]+)/g))
        assert.ok(Object.hasOwn(commands, command), command);
      for (const flag of all(text, /npm start -- (--[^\n`]*)/g).flatMap((line) => all(line, /--([a-z-]+)/g))) {
        assert.ok(Object.hasOwn(configFlags, flag), flag);
      }
    });

    it('starts the gateway with arguments that it takes', async () => {
      const env = Object.fromEntries(
        [...text.matchAll(/^export (\w+)=(\S+)/gm)].map(([, name, value]) => [name!, value!]),
      );
      for (const line of all(text, /npm start -- ([^`\n]+)/g)) {
        if (line.includes('llamero.yaml')) continue;
        const words = [...line.replace(/\s# .*/, '').matchAll(/'([^']*)'|(\S+)/g)].map(
          ([, quoted, bare]) => quoted ?? bare!,
        );
        // Those of other commands are run by test/journeys/pasted-commands.test.ts.
        if (Object.hasOwn(commands, words[0]!)) continue;
        const io = recordedIo({ env });
        assert.equal(await runCommand(['check', ...words], io), 0, `${line}: ${io.err()}`);
      }
    });

    it('names options and variables that are there', () => {
      const variables = new Set(settings.map(({ env }) => env));
      for (const name of all(text, /\b(LLAMERO_[A-Z_]+)\b/g)) assert.ok(variables.has(name), name);
      const sections = new Set(
        settings.filter(({ path: steps }) => steps.length > 1).map(({ path: steps }) => String(steps[0])),
      );
      for (const code of inlineCode(text)) {
        if (!/^[a-z]+\.[a-zA-Z.]+$/.test(code) || !sections.has(code.split('.')[0]!) || code.endsWith('.ts')) continue;
        assert.ok(optionNames.has(code), code);
      }
    });

    it('names metrics that are there', () => {
      // Fields of answers, which stand beside Ollama's own and are told apart by the same prefix.
      const fields = ['llamero_digests', 'llamero_failed'];
      const names = new Set([
        ...fields,
        ...catalogue.flatMap(({ name, type }) => (type === 'histogram' ? [name, `${name}_bucket`] : [name])),
      ]);
      for (const name of all(text, /\b((?:llamero|nodejs|process)_[a-z0-9_]+[a-z0-9])\b/g))
        assert.ok(names.has(name), name);
    });
  });
}

describe('the pages together', () => {
  it('document every field of a request in the log, and only those', () => {
    const table = page('docs/operations.md').split('| Field | |')[1]!.split('\n\n')[0]!;
    const documented = all(table, /^\| (.+?) \|/gm).flatMap((cell) => all(cell, /`(\w+)`/g));
    const event = finished({ traceId: 'f'.repeat(32), gonePhase: 'queued', durationMs: 1000 });
    const line = lineOf(event, { slowRequest: 1, isSimulated: () => true })!;
    assert.deepEqual(documented.sort(), [...Object.keys(line.fields), 'time', 'level', 'msg'].sort());
  });

  it('name every policy in the README', () => {
    const table = page('README.md').split('| Policy | Picks |')[1]!.split('\n\n')[0]!;
    assert.deepEqual(all(table, /^\| `([\w-]+)` \|/gm).sort(), [...policyNames].sort());
  });

  it('name error codes that are there', () => {
    const codes = new Set(Object.keys(failures));
    for (const code of all(page('docs/operations.md'), /[45]\d\d `([a-z-]+)`/g)) assert.ok(codes.has(code), code);
    for (const row of page('docs/architecture.md').matchAll(/^\| \d+ \|.*\| ([^|]*) \|$/gm)) {
      for (const code of all(row[1]!, /`([a-z]+(?:-[a-z]+)+)`/g)) assert.ok(codes.has(code), code);
    }
  });

  it('explain every finding of the doctor, and only those', async () => {
    const table = page('docs/operations.md').split('| Finding | What it is |')[1]!.split('\n\n')[0]!;
    const documented = all(table, /^\| (.+?) \|/gm).flatMap((cell) => all(cell, /`([\w-]+)`/g));
    const source = `${await read('src/cli/doctor/checks.ts')}${await read('src/cli/doctor/unanswered.ts')}`;
    const found = all(source, /(?:(?:error|warning)\(\s*|code: )'([a-z]+(?:-[a-z]+)*)'/g);
    assert.deepEqual(documented.sort(), [...new Set(found)].sort());
  });

  it('show a configuration that loads without a complaint', async () => {
    const [text] = all(page('README.md'), /```yaml\n([\s\S]*?)```/g);
    assert.ok(parse(text!));
    const files = { read: async () => Buffer.from(text!) };
    const loaded = await loadConfig({ file: 'llamero.yaml', env: {}, flags: null, files });
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.warnings, []);
    assert.equal(loaded.config.backends.length, 2);
  });

  it('show a policy that is one', async () => {
    const [code] = all(page('CONTRIBUTING.md'), /```ts\n([\s\S]*?)```/g);
    const here = code!
      .replace("'./policy.ts'", JSON.stringify(import.meta.resolve('../src/core/policies/policy.ts')))
      .replace("'typebox'", JSON.stringify(import.meta.resolve('typebox')));
    const { heaviest } = (await import(`data:text/javascript,${encodeURIComponent(here)}`)) as {
      readonly heaviest: PolicyDefinition;
    };
    const candidate = (id: string, weight: number) => ({ id, weight, slots: 1, inFlight: 0, warm: false });
    const policy = heaviest.create({}, { next: () => 0 });
    assert.equal(policy.pick([candidate('a', 1), candidate('b', 3), candidate('c', 2)], job(), 0).id, 'b');
  });

  it('give every decision a number, and argue for every runtime dependency', async () => {
    assert.deepEqual(
      decisions.map((path) => path.slice('docs/decisions/'.length).slice(0, 4)),
      decisions.map((_, index) => String(index + 1).padStart(4, '0')),
    );
    const { dependencies } = JSON.parse(await read('package.json')) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const argued = all(page('docs/decisions/0006-dependencies.md'), /^\| `([\w@/-]+)` \|/gm);
    assert.deepEqual(argued.sort(), Object.keys(dependencies).sort());
    const counted = ['nine', 'ten', 'eleven', 'twelve', 'thirteen', 'fourteen', 'fifteen'][
      Object.keys(dependencies).length - 9
    ];
    assert.match(page('README.md'), new RegExp(`\\b${counted} runtime packages`));
  });
});
