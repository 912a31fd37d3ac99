/** (file, environment, flags) → Config, or every problem at once. Flag > environment > file > default. */
import { checkConfig, type Draft } from './checks.ts';
import { environmentVariables, readEnvironment, type Environment } from './env-layer.ts';
import { isMissing, readText, type Files } from './files.ts';
import { renderPath, sortProblems, type Layer, type Origin, type Path, type Problem } from './problem.ts';
import { expand, prune, resolve, type Candidate, type Origins } from './resolve.ts';
import { configSchema, type Config } from './schema.ts';
import { createValidator } from './validate.ts';
import { readYaml } from './yaml-layer.ts';

export interface Sources {
  /** The file a flag names; null looks at LLAMERO_CONFIG and then at `wellKnownFiles`. */
  readonly file: string | null;
  readonly env: Environment;
  /** What the flags say, as cli/flags.ts reads them; null for none. */
  readonly flags: Layer | null;
  readonly files: Files;
}

export type Loaded = LoadedConfig | Refused;

export interface LoadedConfig {
  readonly ok: true;
  readonly config: Config;
  readonly origins: Origins;
  /** The file that was read; null when there was none. */
  readonly file: string | null;
  readonly warnings: readonly Problem[];
}

export interface Refused {
  readonly ok: false;
  readonly file: string | null;
  /** At least one. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const validate = createValidator(configSchema);

/** Looked for, in this order, when nobody names a file. */
export const wellKnownFiles = ['llamero.yaml', '/etc/llamero/llamero.yaml'] as const;

export async function loadConfig(sources: Sources): Promise<Loaded> {
  const file = await readFileLayer(sources);
  const env = await readEnvironment(configSchema, sources.env, sources.files);
  const layers = [sources.flags, env.layer, file.layer].filter((layer) => layer !== null);
  const examined = layers.map((layer) => examine(layer, layer === file.layer ? file : whole));
  const merged = resolve(
    configSchema,
    examined.map(({ candidate }) => candidate),
  );
  const checked = await checkConfig(merged.value as Draft<Config>, merged.origins, sources.files);
  const problems = [
    ...file.problems,
    ...env.problems,
    ...examined.flatMap(({ problems: found }) => found),
    ...merged.problems,
    ...checked.problems,
  ];
  const warnings = sortProblems([...env.warnings, ...checked.warnings]);
  if (problems.length > 0) return { ok: false, file: file.path, problems: sortProblems(problems), warnings };
  return { ok: true, config: merged.value as Config, origins: merged.origins, file: file.path, warnings };
}

interface FileLayer {
  readonly path: string | null;
  readonly layer: Layer | null;
  readonly problems: readonly Problem[];
  readonly isCut: boolean;
  readonly spoilt: readonly Path[];
}

async function readFileLayer({ file, env, files }: Sources): Promise<FileLayer> {
  const named = file ?? (env['LLAMERO_CONFIG'] || null);
  for (const path of named === null ? wellKnownFiles : [named]) {
    const text = await readText(files, path);
    if (typeof text === 'string') {
      const variables = environmentVariables(env, await secretFiles(text, env, files));
      return { path, ...readYaml(path, text, variables) };
    }
    if (named === null && isMissing(text)) continue;
    const origin = nameOrigin(file, named) ?? { kind: 'file', file: path, line: 0, column: 0 };
    return { path, layer: null, problems: [{ origin, message: text.message }], isCut: true, spoilt: [] };
  }
  return { path: null, layer: null, problems: [], isCut: false, spoilt: [] };
}

/** How a source is read that is always read whole. */
const whole = { isCut: false, spoilt: [] } as const;

/** Who named the file; null when nobody did. */
function nameOrigin(byFlag: string | null, named: string | null): Origin | null {
  if (byFlag !== null) return { kind: 'flag', name: '--config' };
  return named === null ? null : { kind: 'env', name: 'LLAMERO_CONFIG' };
}

/** The contents of the files that `NAME_FILE` variables name, for each `${NAME}` in the text that is not set itself. */
async function secretFiles(text: string, env: Environment, files: Files): Promise<Map<string, string | Error>> {
  const names = new Set([...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map((match) => match[1]!));
  const paths = [...names].filter((name) => env[name] === undefined).map((name) => env[`${name}_FILE`]);
  const contents = new Map<string, string | Error>();
  for (const path of paths) if (path !== undefined) contents.set(path, await readText(files, path));
  return contents;
}

function examine(
  layer: Layer,
  reading: Pick<FileLayer, 'isCut' | 'spoilt'>,
): { readonly candidate: Candidate; readonly problems: readonly Problem[] } {
  const value = expand(configSchema, layer.value);
  const findings = validate({ value, where: (path, part) => layer.where(path, part) });
  const spoilt = new Set([...reading.spoilt, ...findings.spoilt].map(renderPath));
  return {
    candidate: { layer, value: prune(value, spoilt), spoilt, isCut: reading.isCut },
    problems: findings.problems,
  };
}
