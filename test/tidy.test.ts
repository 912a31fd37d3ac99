/** The walls between the rooms and the rest of what keeps the house in order. docs/architecture.md says why. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, it } from 'node:test';

/** What a room may import. Moving a wall is an edit here, of docs/architecture.md, and a decision record. */
interface Wall {
  /** Other rooms, and the files of `src/` that are in none. */
  readonly rooms: readonly string[];
  /** Rooms of which it may know types only. */
  readonly types?: readonly string[];
  /** Packages and modules of Node; `node:*` for a room that does I/O. */
  readonly packages: readonly string[];
}

const telemetry = ['api', 'exporter-trace-otlp-http', 'resources', 'sdk-trace-base'].map(
  (name) => `@opentelemetry/${name}`,
);

const walls: Readonly<Record<string, Wall>> = {
  core: { rooms: [], packages: ['typebox', 'node:assert/strict'] },
  dialects: { rooms: ['core'], packages: ['typebox'] },
  backends: { rooms: ['core'], packages: ['typebox', 'undici', 'opossum', 'node:*'] },
  identity: { rooms: ['core', 'store'], packages: ['typebox', 'typebox/value', 'jose', 'node:*'] },
  http: {
    rooms: ['core', 'dialects'],
    types: ['backends', 'identity'],
    packages: ['typebox', 'typebox/value', 'fastify', '@fastify/rate-limit', 'node:*'],
  },
  observe: {
    rooms: ['core'],
    packages: [...telemetry, 'typebox', 'pino', 'pino-pretty', 'prom-client', 'node:*', 'node:process'],
  },
  store: { rooms: ['core'], packages: ['typebox', 'typebox/value', 'node:*'] },
  config: { rooms: ['core', 'backends', 'http', 'identity', 'observe', 'store'], packages: ['typebox', 'ajv', 'yaml'] },
  simulator: { rooms: ['core', 'dialects', 'system.ts'], packages: ['typebox', 'typebox/value', 'node:*'] },
  cli: {
    rooms: ['core', 'config', 'backends', 'identity', 'simulator', 'store', 'app.ts', 'system.ts'],
    types: ['http'],
    packages: ['node:*'],
  },
  'app.ts': {
    rooms: ['core', 'dialects', 'backends', 'identity', 'http', 'observe', 'store', 'config', 'simulator', 'system.ts'],
    packages: ['node:*'],
  },
  'main.ts': { rooms: ['cli', 'system.ts'], packages: ['node:*'] },
  'system.ts': { rooms: ['core'], packages: ['node:*', 'node:process'] },
};

/** Libraries that are translated into our words in one file, so that another can take their place. */
const libraryFiles: Readonly<Record<string, string>> = {
  undici: 'src/backends/client.ts',
  opossum: 'src/backends/breaker.ts',
  fastify: 'src/http/server.ts',
  ajv: 'src/config/validate.ts',
  jose: 'src/identity/tokens.ts',
  '@fastify/rate-limit': 'src/http/request-limits.ts',
  '@opentelemetry/sdk-trace-base': 'src/observe/otlp.ts',
};

/** Where time, luck, the process and the outside are handed in and never taken. */
const worldless = ['src/core/', 'src/dialects/', 'src/simulator/scheduler.ts'];
const calls = ['Date\\.now', 'new Date\\(\\)', 'Math\\.random', '(?:set|clear)(?:Timeout|Interval|Immediate)'];
const globals = ['performance', 'process', 'console', 'fetch', 'globalThis', 'queueMicrotask', 'crypto'];
/** Not after a dot, and not the name of a property. */
const worldly = new RegExp(`(?<![\\w.])(?:${[...calls, ...globals].join('|')})(?!\\w|\\s*:)`);

/** State of a module that is no harm, and why. */
const harmless: ReadonlyMap<string, string> = new Map([
  ['src/main.ts', 'the process exists once'],
  ['src/simulator/stamp.ts', 'remembers the last answer of a function of its argument'],
]);

interface Source {
  readonly path: string;
  readonly text: string;
}

const root = new URL('..', import.meta.url);

function sources(under: string): Source[] {
  return readdirSync(new URL(under, root), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const full = new URL(`${entry.parentPath}/${entry.name}`, 'file:').href;
      const path = full.slice(root.href.length);
      return { path, text: readFileSync(new URL(path, root), 'utf8') };
    })
    .sort((a, b) => a.path.localeCompare(b.path));
}

interface Import {
  readonly from: string;
  readonly isTypeOnly: boolean;
}

function importsOf(code: string): Import[] {
  const found: Import[] = [];
  for (const [, kind, names, from] of code.matchAll(/\b(import|export)\s+([^;'"`]*?)\s*from\s*['"]([^'"]+)['"]/g)) {
    const listed =
      /\{([^}]*)\}/
        .exec(names!)?.[1]
        ?.split(',')
        .filter((name) => name.trim() !== '') ?? [];
    const areTypes =
      listed.length > 0 && !/^\s*\w+\s*,/.test(names!) && listed.every((name) => /^\s*type\s/.test(name));
    found.push({ from: from!, isTypeOnly: /^type\s/.test(names!) || (kind === 'import' && areTypes) });
  }
  for (const [, from] of code.matchAll(/\bimport\s*(?:\(\s*)?['"]([^'"]+)['"]/g))
    found.push({ from: from!, isTypeOnly: false });
  return found;
}

/** The room of a file under `src/`, or the file itself when it is in none. */
function roomOf(path: string): string {
  return path.split('/')[1]!;
}

function wallBreaks({ path, text }: Source): string[] {
  const room = roomOf(path);
  const wall = walls[room];
  if (!wall) return [`${path} is in no room that has a wall`];
  return importsOf(text).flatMap(({ from, isTypeOnly }) => {
    const isAllowed = from.startsWith('.')
      ? mayKnow(room, wall, posix.join(posix.dirname(path), from), isTypeOnly)
      : mayUse(wall, from);
    return isAllowed ? [] : [`${path} imports ${from.startsWith('.') ? posix.join(posix.dirname(path), from) : from}`];
  });
}

function mayKnow(room: string, wall: Wall, target: string, isTypeOnly: boolean): boolean {
  if (target === 'package.json') return room === 'cli';
  if (!target.startsWith('src/')) return false;
  const other = roomOf(target);
  return other === room || wall.rooms.includes(other) || (isTypeOnly && (wall.types ?? []).includes(other));
}

function mayUse(wall: Wall, name: string): boolean {
  if (wall.packages.includes(name)) return true;
  // The process is main's; who needs a figure of it says so by name.
  return name.startsWith('node:') && name !== 'node:process' && wall.packages.includes('node:*');
}

const COMMENT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/.source;
const QUOTED = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/.source;
/** A slash where a value may begin, which is no division. */
const EXPRESSION = /(?<=(?:[(,=:[!&|?{};>]|return|^)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\/[a-z]*/.source;
const noCode = new RegExp([COMMENT, QUOTED, EXPRESSION].join('|'), 'gm');

/** Without comments, quoted texts and regular expressions, so that words in them are no code. Lines stay. */
function codeOnly(text: string): string {
  return text.replace(noCode, (found) => {
    const lines = found.replace(/[^\n]/g, '');
    if (found.startsWith('/')) return lines;
    // What a template fills in is code.
    const filled = found.startsWith('`')
      ? [...found.matchAll(/\$\{([^}]*)\}/g)].map(([, inner]) => inner).join(' ')
      : '';
    return `'' ${filled}${lines}`;
  });
}

function lineBreaks(source: Source, broken: RegExp, what: string): string[] {
  return codeOnly(source.text)
    .split('\n')
    .flatMap((line, i) => {
      const [found] = broken.exec(line) ?? [];
      return found === undefined ? [] : [`${source.path}:${i + 1} ${what} ${found.trim()}`];
    });
}

function listBreaks({ path, text }: Source): string[] {
  if (!path.endsWith('/index.ts')) return [];
  const rest = codeOnly(text)
    .replace(/^import [^;]*;$/gm, '')
    .trim();
  const isList =
    /^export const \w+(?:: [^=]+)? = (?:\{[\s\w:',-]*\}|\[[\s\w,]*\])(?: as const)?(?: satisfies [^;]+)?;$/.test(rest);
  return isList ? [] : [`${path} is more than a list of members`];
}

function stateBreaks(source: Source): string[] {
  if (harmless.has(source.path)) return [];
  const collection =
    /^(?:export )?const \w+ = new (?:Weak)?(?:Map|Set)\b|^(?:export )?const \w+(?:: (?!readonly|Readonly)[^=]+)? = (?:\[\]|\{\});/;
  return [
    ...lineBreaks(source, /^(?:export )?(?:let|var) \w+/, 'has state of its module:'),
    ...lineBreaks(source, collection, 'has a collection of its module that anybody can change:'),
  ];
}

function nameBreaks({ path }: Source): string[] {
  const parts = path.replace(/\.ts$/, '').split('/');
  const isKebab = parts.every((part) => /^[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(part));
  const vague = parts.find((part) => /^(?:utils?|helpers?|common|misc|shared|manager|data|info)$/.test(part));
  return [
    ...(isKebab ? [] : [`${path} is not written in kebab-case`]),
    ...(vague === undefined ? [] : [`${path}: \`${vague}\` says nothing; what is it about?`]),
  ];
}

const MAX_LINES = 400;

function sizeBreaks({ path, text }: Source): string[] {
  const lines = codeOnly(text)
    .split('\n')
    .filter((line) => line.trim() !== '').length;
  return lines > MAX_LINES ? [`${path} has ${lines} lines of code; ${MAX_LINES} are the most`] : [];
}

function cycleBreaks(all: readonly Source[]): string[] {
  const imports = new Map(
    all.map(({ path, text }) => {
      const values = importsOf(text).filter(({ from, isTypeOnly }) => from.startsWith('.') && !isTypeOnly);
      return [path, values.map(({ from }) => posix.join(posix.dirname(path), from))] as const;
    }),
  );
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of imports.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) walk(path, []);
  return found;
}

const code = sources('src');
const everything = [...code, ...['test', 'tools', 'bench'].flatMap(sources)];

function holds(breaks: readonly string[]): void {
  assert.deepEqual(breaks, [], `\n${breaks.join('\n')}\n`);
}

describe('the house', () => {
  it('has files to look at', () => {
    assert.ok(code.length > 50, 'src is found');
    for (const room of Object.keys(walls))
      assert.ok(
        code.some(({ path }) => roomOf(path) === room),
        `${room} is there`,
      );
  });

  it('keeps its walls', () => holds(code.flatMap(wallBreaks)));

  it('knows each library in one file', () => {
    holds(
      Object.entries(libraryFiles).flatMap(([library, home]) =>
        code
          .filter(
            ({ path, text }) =>
              path !== home && importsOf(text).some(({ from, isTypeOnly }) => from === library && !isTypeOnly),
          )
          .map(({ path }) => `${path} imports ${library}, which is for ${home}`),
      ),
    );
  });

  it('decides without clock, luck, process or network', () => {
    const pure = code.filter(({ path }) => worldless.some((place) => path.startsWith(place)));
    holds(pure.flatMap((source) => lineBreaks(source, worldly, 'uses')));
  });

  it('leaves the process and its environment to main', () => {
    const others = code.filter(({ path }) => path !== 'src/main.ts');
    holds(others.flatMap((source) => lineBreaks(source, /(?<![\w.])process\s*(?:\.(?!nextTick\b)|\[)\s*\w*/, 'uses')));
  });

  it('writes to the console nowhere', () =>
    holds(code.flatMap((source) => lineBreaks(source, /(?<![\w.])console\.\w+/, 'uses'))));

  it('has no state that two gateways in one process would share', () => holds(code.flatMap(stateBreaks)));

  it('has lists that are only lists', () => holds(code.flatMap(listBreaks)));

  it('has no circle of imports', () => holds(cycleBreaks(code)));

  it('exports by name', () => holds(everything.flatMap((source) => lineBreaks(source, /^export default\b/, 'has'))));

  it('has names that say something', () => holds(everything.flatMap(nameBreaks)));

  it('has files that can be read at once', () => holds(code.flatMap(sizeBreaks)));

  it('leaves nothing for later', () => {
    const mark = new RegExp(
      `\\b(?:${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')})\\b`,
    );
    const others = everything.filter(({ path }) => path !== 'test/tidy.test.ts');
    holds(
      others.flatMap(({ path, text }) =>
        text.split('\n').flatMap((line, i) => (mark.test(line) ? [`${path}:${i + 1} ${line.trim()}`] : [])),
      ),
    );
  });
});

/** A check that nothing can fail holds nothing up. */
describe('the checks of the house', () => {
  const file = (path: string, text: string): Source => ({ path, text });

  it('see a forbidden import, however it is written', () => {
    const written = [
      "import { Pool } from 'undici';",
      "import {\n  Pool,\n  type Dispatcher,\n} from 'undici';",
      "import undici from 'undici';",
      "import * as undici from 'undici';",
      "import 'undici';",
      "export { Pool } from 'undici';",
      "export * from 'undici';",
      "import type { Pool } from 'undici';",
      "const { Pool } = await import('undici');",
    ];
    for (const text of written)
      assert.deepEqual(wallBreaks(file('src/core/x.ts', text)), ['src/core/x.ts imports undici'], text);
  });

  it('see an import of another room, and let types through where types may', () => {
    const asks = (names: string) => file('src/http/x.ts', `import ${names} from '../backends/client.ts';`);
    assert.deepEqual(wallBreaks(asks('{ createClient }')), ['src/http/x.ts imports src/backends/client.ts']);
    assert.deepEqual(wallBreaks(asks('{ createClient, type Ask }')), ['src/http/x.ts imports src/backends/client.ts']);
    assert.deepEqual(wallBreaks(asks('type { Ask }')), []);
    assert.deepEqual(wallBreaks(asks('{ type Ask }')), []);
    assert.deepEqual(wallBreaks(file('src/core/policies/x.ts', "import { x } from '../types.ts';")), []);
    assert.deepEqual(wallBreaks(file('src/core/x.ts', "import { app } from '../app.ts';")), [
      'src/core/x.ts imports src/app.ts',
    ]);
    assert.deepEqual(wallBreaks(file('src/http/x.ts', "import { env } from 'node:process';")), [
      'src/http/x.ts imports node:process',
    ]);
    assert.deepEqual(wallBreaks(file('src/attic/x.ts', '')), ['src/attic/x.ts is in no room that has a wall']);
  });

  it('see the world taken instead of handed in, and not the words for it', () => {
    const uses = (text: string) => lineBreaks(file('src/core/x.ts', text), worldly, 'uses').length;
    for (const text of [
      'Date.now()',
      'new Date()',
      'setTimeout(f, 1)',
      'Math.random()',
      'process.env.X',
      'console.log()',
      '`${Date.now()}`',
    ]) {
      assert.equal(uses(`const x = () => ${text};`), 1, text);
    }
    for (const text of [
      "'process.env'",
      '// Date.now()',
      '/* setTimeout */ 1',
      'clock.setTimeout',
      'a.process',
      '{ process: 1 }',
      'processed',
    ]) {
      assert.equal(uses(`const x = ${text};`), 0, text);
    }
  });

  it('see state of a module', () => {
    for (const text of [
      'let x = 1;',
      'export let x;',
      'const x = new Map();',
      'const x: string[] = [];',
      'const x = {};',
    ]) {
      assert.equal(stateBreaks(file('src/core/x.ts', text)).length, 1, text);
    }
    for (const text of [
      'const x: ReadonlySet<string> = new Set();',
      '  let x = 1;',
      'const x: readonly string[] = [];',
      'const x = 1;',
    ]) {
      assert.deepEqual(stateBreaks(file('src/core/x.ts', text)), [], text);
    }
  });

  it('see a list that does something', () => {
    const list = (text: string) => listBreaks(file('src/core/index.ts', `import { a } from './a.ts';\n${text}`)).length;
    assert.equal(list("export const all = {\n  'a-b': a,\n  a,\n};"), 0);
    assert.equal(list('export const all: readonly A[] = [a];'), 0);
    assert.equal(list('export const all = [a()];'), 1);
    assert.equal(list('export const all = [a];\nexport function b() {}'), 1);
  });

  it('see circles, vague names and long files', () => {
    const circle = [
      file('src/core/a.ts', "import { b } from './b.ts';"),
      file('src/core/b.ts', "import { a } from './a.ts';"),
    ];
    assert.deepEqual(cycleBreaks(circle), ['src/core/a.ts → src/core/b.ts → src/core/a.ts']);
    assert.deepEqual(cycleBreaks([circle[0]!, file('src/core/b.ts', "import type { a } from './a.ts';")]), []);
    assert.equal(nameBreaks(file('src/core/utils.ts', '')).length, 1);
    assert.equal(nameBreaks(file('src/core/camelCase.ts', '')).length, 1);
    assert.equal(sizeBreaks(file('src/core/x.ts', 'x;\n'.repeat(401))).length, 1);
    assert.equal(sizeBreaks(file('src/core/x.ts', '// x\n\n'.repeat(401))).length, 0);
  });
});
