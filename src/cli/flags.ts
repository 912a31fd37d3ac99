/** Flags: read as node:util reads them, with every mistake reported at once and the nearest known name for each. */
import { parseArgs } from 'node:util';
import { parseBackendSpec } from '../config/backend-spec.ts';
import { nearest } from '../config/nearest.ts';
import { renderPath, type Layer, type Path, type Problem } from '../config/problem.ts';

export interface FlagDefinition {
  /** One character, for `-c`. */
  readonly short?: string;
  /** How its value is called in the help; absent for a switch. */
  readonly value?: string;
  readonly isRepeatable?: boolean;
  readonly help: string;
}

export type FlagDefinitions = Readonly<Record<string, FlagDefinition>>;

export interface ParsedFlags {
  /** Values in the order given, by flag name; a switch has one empty text. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly Problem[];
}

export function parseFlags(argv: readonly string[], definitions: FlagDefinitions): ParsedFlags {
  const options = Object.entries(definitions).map(([name, { short, value }]) => {
    const type: 'string' | 'boolean' = value === undefined ? 'boolean' : 'string';
    return [name, short === undefined ? { type } : { type, short }] as const;
  });
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(options),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  const problems: Problem[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional')
      problems.push(complaint(token.value, 'unexpected argument; options start with `--`'));
    if (token.kind !== 'option') continue;
    const known = values.get(token.name) ?? [];
    const message = mistake(definitions, token.name, token.value, known.length);
    if (message !== null) problems.push(complaint(token.rawName, message));
    else values.set(token.name, [...known, token.value ?? '']);
  }
  return { values, problems };
}

function mistake(definitions: FlagDefinitions, name: string, value: string | undefined, seen: number): string | null {
  const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
  if (!definition) {
    const near = nearest(name, Object.keys(definitions));
    return `unknown flag; ${near === null ? '`llamero help` lists them' : `did you mean \`--${near}\`?`}`;
  }
  if (definition.value === undefined) return value === undefined ? null : 'takes no value';
  if (value === undefined || value === '') return `needs a value: \`--${name} ${definition.value}\``;
  // `--config --listen x`: the flag after it was taken for its value.
  if (value.startsWith('--')) return `needs a value: \`--${name} ${definition.value}\`, and \`${value}\` is a flag`;
  return seen > 0 && !definition.isRepeatable ? 'given more than once' : null;
}

function complaint(name: string, message: string): Problem {
  return { origin: { kind: 'flag', name }, message };
}

/** Flags that set options of the configuration; every command that reads it takes them. */
export const configFlags = {
  config: { short: 'c', value: 'FILE', help: 'read the configuration from FILE' },
  listen: { value: 'HOST:PORT', help: 'where clients connect' },
  admin: { value: 'HOST:PORT', help: 'where metrics, probes and the admin API are' },
  backend: {
    value: '[name=]URL[#weight=2,slots=4]',
    isRepeatable: true,
    help: 'an Ollama to send requests to; repeat it for several',
  },
  simulate: { value: 'N', help: 'start N simulated Ollamas' },
  policy: { value: 'NAME', help: 'how a backend is chosen' },
  'log-level': { value: 'LEVEL', help: 'debug, info, warn, error or silent' },
} as const satisfies FlagDefinitions;

/** For commands that speak to a running gateway. */
export const adminFlags = {
  token: { value: 'TOKEN', help: 'the credential of an operator, in place of `admin.token`' },
} as const satisfies FlagDefinitions;

/** Words before the first flag, which are no flags' values, and the rest. */
export function leadingWords(argv: readonly string[]): {
  readonly words: readonly string[];
  readonly rest: readonly string[];
} {
  const first = argv.findIndex((argument) => argument.startsWith('-'));
  const end = first === -1 ? argv.length : first;
  return { words: argv.slice(0, end), rest: argv.slice(end) };
}

/** The option each of them sets. */
const targets: Readonly<Record<string, Path>> = {
  listen: ['listen', 'address'],
  admin: ['admin', 'address'],
  backend: ['backends'],
  simulate: ['simulate', 'count'],
  policy: ['policy'],
  'log-level': ['log', 'level'],
};

/** What the flags say of the configuration, as a layer. */
export function flagLayer(values: ParsedFlags['values']): Layer {
  const root: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const [flag, path] of Object.entries(targets)) {
    const given = values.get(flag);
    if (!given) continue;
    names.set(renderPath(path), `--${flag}`);
    const [section, option] = path as [string, string?];
    const value = flag === 'backend' ? given.map(parseBackendSpec) : flag === 'simulate' ? count(given[0]!) : given[0]!;
    if (option === undefined) root[section] = value;
    else root[section] = { [option]: value };
  }
  return {
    value: root,
    where(path) {
      for (let length = path.length; length > 0; length--) {
        const name = names.get(renderPath(path.slice(0, length)));
        if (name !== undefined) return { kind: 'flag', name };
      }
      return { kind: 'flag', name: '--' };
    },
  };
}

function count(text: string): unknown {
  return /^[0-9]+$/.test(text) ? Number(text) : text;
}
