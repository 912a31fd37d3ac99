/** `LLAMERO_*` variables as a layer, and the `NAME_FILE` way to hand in what should not stand in an environment. */
import { readText, type Files } from './files.ts';
import type { Variables } from './interpolate.ts';
import { nearest } from './nearest.ts';
import { renderPath, type Layer, type Path, type Problem } from './problem.ts';
import { ENV_PREFIX, settingsOf, type Setting } from './settings.ts';
import type { SchemaNode } from './schema-node.ts';
import { readWritten } from './written.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface EnvLayer {
  readonly layer: Layer;
  readonly problems: readonly Problem[];
  /** Variables that look like ours and are not. */
  readonly warnings: readonly Problem[];
}

/** Names that are ours without being an option. */
const OWN = ['LLAMERO_CONFIG'];

/** An empty variable counts as unset, as `X: ${X:-}` in a compose file leaves it. */
export async function readEnvironment(schema: SchemaNode, env: Environment, files: Files): Promise<EnvLayer> {
  const settings = settingsOf(schema);
  const problems: Problem[] = [];
  const value: Record<string, unknown> = {};
  const names = new Map<string, string>();
  for (const setting of settings) {
    const found = await lookUp(setting, env, files);
    if (!found) continue;
    if ('problem' in found) {
      problems.push({ origin: { kind: 'env', name: found.name }, message: found.problem });
      continue;
    }
    names.set(renderPath(setting.path), found.name);
    put(value, setting.path, readWritten(setting.schema, found.text));
  }
  const where: Layer['where'] = (path) => {
    for (let length = path.length; length > 0; length--) {
      const name = names.get(renderPath(path.slice(0, length)));
      if (name !== undefined) return { kind: 'env', name };
    }
    return { kind: 'env', name: `${ENV_PREFIX}*` };
  };
  return { layer: { value, where }, problems, warnings: strangers(settings, env) };
}

/** Reads `${VAR}` for a file: VAR itself, or the content of the file that VAR_FILE names. */
export function environmentVariables(env: Environment, contents: ReadonlyMap<string, string | Error>): Variables {
  return (name) => {
    const value = env[name];
    if (value !== undefined) return { value };
    const path = env[`${name}_FILE`];
    const content = path === undefined ? undefined : contents.get(path);
    if (content === undefined) return undefined;
    return typeof content === 'string' ? { value: content } : { problem: `\`${name}_FILE\`: ${content.message}` };
  };
}

type Found = { readonly name: string } & ({ readonly text: string } | { readonly problem: string });

async function lookUp(setting: Setting, env: Environment, files: Files): Promise<Found | null> {
  const text = env[setting.env] ?? '';
  const fileName = `${setting.env}_FILE`;
  const file = env[fileName] ?? '';
  if (file === '') return text === '' ? null : { name: setting.env, text };
  if (text !== '') return { name: fileName, problem: `set together with \`${setting.env}\`; keep one of them` };
  const content = await readText(files, file);
  return typeof content === 'string' ? { name: fileName, text: content } : { name: fileName, problem: content.message };
}

function put(root: Record<string, unknown>, path: Path, value: unknown): void {
  let section = root;
  for (const step of path.slice(0, -1)) section = (section[step] ??= {}) as Record<string, unknown>;
  section[path.at(-1)!] = value;
}

function strangers(settings: readonly Setting[], env: Environment): Problem[] {
  const known = new Set([...OWN, ...settings.flatMap(({ env: name }) => [name, `${name}_FILE`])]);
  return Object.keys(env)
    .filter((name) => name.startsWith(ENV_PREFIX) && !known.has(name))
    .sort()
    .map((name) => {
      const near = nearest(
        name.slice(ENV_PREFIX.length),
        [...known].map((other) => other.slice(ENV_PREFIX.length)),
      );
      const hint = near === null ? 'no option has this name' : `did you mean \`${ENV_PREFIX}${near}\`?`;
      return { origin: { kind: 'env', name }, message: `unknown variable; ${hint}` };
    });
}
