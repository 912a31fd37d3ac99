/** The start of every command that needs the configuration: flags, then everything loadConfig does, then what to say of it. */
import { exposureProblems } from '../config/exposure.ts';
import { loadConfig, type Loaded, type LoadedConfig } from '../config/load.ts';
import { renderProblem } from '../config/problem.ts';
import { configFlags, flagLayer, parseFlags, type FlagDefinitions, type ParsedFlags } from './flags.ts';
import type { Io } from './io.ts';

export interface ReadConfig {
  readonly loaded: LoadedConfig;
  /** Of the command's own flags too. */
  readonly flags: ParsedFlags['values'];
}

/**
 * The configuration, or the exit code after everything wrong with it was written to stderr: 2 for flags that are not
 * understood, 1 for a configuration that is not.
 */
export async function readConfig(
  argv: readonly string[],
  io: Io,
  own: FlagDefinitions = {},
): Promise<ReadConfig | number> {
  const { values, problems } = parseFlags(argv, { ...configFlags, ...own });
  if (problems.length > 0) {
    for (const problem of problems) io.stderr.write(`llamero: ${renderProblem(problem)}\n`);
    return 2;
  }
  const loaded = await loadAgain(values, io);
  for (const warning of loaded.warnings) io.stderr.write(`warning: ${renderProblem(warning)}\n`);
  if (loaded.ok) return { loaded, flags: values };
  for (const problem of loaded.problems) io.stderr.write(`${renderProblem(problem)}\n`);
  const { length } = loaded.problems;
  io.stderr.write(
    `llamero: ${length} ${length === 1 ? 'problem' : 'problems'} in the configuration; nothing was started\n`,
  );
  return 1;
}

/** As above, and refuses too what would let strangers in without anybody having said so; for commands about starting. */
export async function readStartable(argv: readonly string[], io: Io): Promise<ReadConfig | number> {
  const read = await readConfig(argv, io);
  if (typeof read === 'number') return read;
  const problems = exposureProblems(read.loaded);
  if (problems.length === 0) return read;
  for (const problem of problems) io.stderr.write(`llamero: ${renderProblem(problem)}\n`);
  return 1;
}

/** Reads the same sources once more, as a reload does. */
export function loadAgain(flags: ParsedFlags['values'], io: Io): Promise<Loaded> {
  return loadConfig({
    file: flags.get('config')?.[0] ?? null,
    env: io.env,
    flags: flagLayer(flags),
    files: io.files,
  });
}
