/** `npm run mutation`: breaks the core in small ways, one at a time, and counts how many of them its tests notice. */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { below, seededRng } from '../../test/support/random.ts';
import { apply, mutantsOf, type Mutant } from './mutate.ts';
import { copyOf, runTests, type Verdict } from './trial.ts';

const usage = `npm run mutation -- [options]

  --files A,B      files, or patterns (src/core/**/*.ts,src/dialects/failures.ts)
  --sample N       mutants of each file at most, drawn with --seed; 0 is all of them (0)
  --seed N         luck to begin with (1)
  --min N          the score in percent below which it fails (80)
  --timeout N      seconds a mutant has, five times what the tests need if that is more (20)
`;

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Score {
  readonly file: string;
  noticed: number;
  /** Of those noticed, how many because the tests did not end in time: on a busy machine that may be no merit. */
  late: number;
  tried: number;
}

/**
 * Tests in the order in which they are asked, each round only when those before have noticed nothing: those that mirror the
 * file's path, those that import it, and for the core all of the core's and its simulation. Whole gateways are not started.
 */
function testsOf(file: string, directory: string): readonly (readonly string[])[] {
  const stem = basename(file, '.ts');
  const folder = dirname(file).replace(/^src/, 'test');
  const matching = (...patterns: string[]): string[] => globSync(patterns, { cwd: directory });
  const mirrors = matching(`${folder}/${stem}{,-*}.test.ts`, `${folder}.test.ts`);
  const module = file.replace(/^src\//, '/src/');
  const importing = matching('test/{backends,config,core,dialects,http,observe}/**/*.test.ts').filter((path) =>
    readFileSync(join(directory, path), 'utf8').includes(`${module}'`),
  );
  const whole = file.startsWith('src/core/')
    ? matching('test/core/**/*.test.ts', 'test/simulation/faults.test.ts')
    : [];
  const others = importing.filter((path) => !mirrors.includes(path));
  // The last round is the same for all of the core, so that it is tried without a mutant only once.
  return [mirrors, others, whole].filter((tests) => tests.length > 0).map((tests) => tests.toSorted());
}

function sample(mutants: readonly Mutant[], count: number, seed: number): readonly Mutant[] {
  if (count === 0 || mutants.length <= count) return mutants;
  const rng = seededRng(seed);
  const left = [...mutants];
  return Array.from({ length: count }, () => left.splice(below(rng, left.length), 1)[0]!);
}

function percent({ noticed, tried }: Pick<Score, 'noticed' | 'tried'>): string {
  return tried === 0 ? '-' : `${((100 * noticed) / tried).toFixed(1)} %`;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string', default: 'src/core/**/*.ts,src/dialects/failures.ts' },
      sample: { type: 'string', default: '0' },
      seed: { type: 'string', default: '1' },
      min: { type: 'string', default: '80' },
      timeout: { type: 'string', default: '20' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return true;
  }
  const [count, seed, min, timeout] = [values.sample, values.seed, values.min, values.timeout].map(Number) as [
    number,
    number,
    number,
    number,
  ];
  if ([count, seed, min, timeout].some((number) => !Number.isFinite(number) || number < 0))
    throw new Error('--sample, --seed, --min and --timeout take numbers from 0');
  const files = globSync(values.files.split(','), { cwd: root }).sort();
  if (files.length === 0) throw new Error(`no file is called ${values.files}`);

  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const copy = copyOf(root, ['src', 'test', 'bench', 'package.json', 'tsconfig.json']);
  const scores: Score[] = [];
  try {
    for (const file of files) {
      if (stop.signal.aborted) return false;
      scores.push(
        await scoreOf(file, { directory: copy.directory, count, seed, timeoutMs: timeout * 1000, signal: stop.signal }),
      );
    }
  } finally {
    copy.close();
  }
  if (stop.signal.aborted) return false;
  const total = { noticed: 0, tried: 0 };
  for (const { noticed, tried } of scores) {
    total.noticed += noticed;
    total.tried += tried;
  }
  console.log(`total: ${percent(total)} (${total.noticed} of ${total.tried} noticed), at least ${min} % wanted`);
  return total.tried > 0 && (100 * total.noticed) / total.tried >= min;
}

interface Setting {
  readonly directory: string;
  readonly count: number;
  readonly seed: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** How long tests took that passed without a mutant, by their names. */
const soundAfter = new Map<string, number>();

/** Milliseconds that these tests need. Throws when they fail as things are, because then they would notice every mutant. */
async function needed(
  tests: readonly string[],
  { directory, signal }: Pick<Setting, 'directory' | 'signal'>,
): Promise<number> {
  const key = tests.join(' ');
  const known = soundAfter.get(key);
  if (known !== undefined || signal.aborted) return known ?? 0;
  const begin = performance.now();
  const verdict = await runTests({ directory, tests, timeoutMs: 300_000, signal });
  if (verdict !== 'passed' && !signal.aborted) throw new Error(`these tests fail without a mutant: ${key}`);
  const tookMs = performance.now() - begin;
  soundAfter.set(key, tookMs);
  return tookMs;
}

async function scoreOf(file: string, { count, directory, seed, signal, timeoutMs }: Setting): Promise<Score> {
  const path = join(directory, file);
  const text = readFileSync(path, 'utf8');
  const mutants = sample(mutantsOf(text), count, seed);
  const score: Score = { file, noticed: 0, late: 0, tried: 0 };
  const rounds = testsOf(file, directory);
  if (mutants.length === 0) return score;
  if (rounds.length === 0) throw new Error(`${file} has no test`);
  const limits: number[] = [];
  for (const tests of rounds) limits.push(Math.max(timeoutMs, 5 * (await needed(tests, { directory, signal }))));
  for (const mutant of mutants) {
    if (signal.aborted) break;
    writeFileSync(path, apply(text, mutant));
    let verdict: Verdict = 'passed';
    for (const [round, tests] of rounds.entries()) {
      if (verdict !== 'passed') break;
      verdict = await runTests({ directory, tests, timeoutMs: limits[round]!, signal });
    }
    if (signal.aborted) break;
    score.tried += 1;
    if (verdict === 'timeout') score.late += 1;
    if (verdict !== 'passed') score.noticed += 1;
    else console.log(`  survived: ${file}:${mutant.line} ${mutant.operator}: ${mutant.from} → ${mutant.to}`);
  }
  writeFileSync(path, text);
  console.log(`${file}: ${percent(score)} (${score.noticed} of ${score.tried}, ${score.late} by timeout)`);
  return score;
}

process.exitCode = (await main()) ? 0 : 1;
