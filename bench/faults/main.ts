/** `npm run sim:faults`: the core among faults, in as many histories as asked for. Exits with 1 when a promise is broken. */
import { createHash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { simulate, type History } from './simulate.ts';

const usage = `npm run sim:faults -- [options]

  --seeds N      histories (200); the whole programme is 10000
  --steps N      steps of each (500); the whole programme is 1000
  --seed S       the first seed (1)
  --replay       only the history of --seed, twice, with its last lines; both have to be the same
  --lines N      how many lines of a history are shown (40)
`;

/** Of so many histories one is run again, to see that it is the same. */
const REPLAY_EVERY = 50;

interface FaultsOptions {
  readonly seeds: number;
  readonly steps: number;
  readonly seed: number;
  readonly lines: number;
}

function show({ digest, log, seed, violation }: History, lines: number): void {
  for (const line of log.slice(Math.max(0, log.length - lines))) console.log(`  ${line}`);
  if (violation !== null) console.log(`seed ${seed}, step ${violation.step}: VIOLATION: ${violation.message}`);
  console.log(`seed ${seed}: ${digest}`);
}

async function replay({ lines, seed, steps }: FaultsOptions): Promise<boolean> {
  const first = await simulate(seed, steps);
  const second = await simulate(seed, steps);
  show(first, lines);
  const isSame = first.digest === second.digest;
  console.log(isSame ? 'the replay is the same, bit for bit' : `the replay is another: ${second.digest}`);
  return isSame && first.violation === null;
}

async function runAll({ lines, seed, seeds, steps }: FaultsOptions): Promise<boolean> {
  const begin = performance.now();
  const all = createHash('sha256');
  let replays = 0;
  for (let offset = 0; offset < seeds; offset += 1) {
    const history = await simulate(seed + offset, steps);
    all.update(history.digest);
    if (history.violation !== null) {
      show(history, lines);
      console.log(`again: npm run sim:faults -- --seed ${history.seed} --steps ${steps} --replay`);
      return false;
    }
    if (offset % REPLAY_EVERY !== 0) continue;
    replays += 1;
    if ((await simulate(history.seed, steps)).digest === history.digest) continue;
    console.log(`seed ${history.seed}: VIOLATION: the replay is not the same`);
    return false;
  }
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(`${seeds} histories of ${steps} steps, 0 violations, ${replays} replays the same, ${seconds} s`);
  console.log(`digest ${all.digest('hex')}`);
  return true;
}

function wholeNumber(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new Error(`--${name} takes a whole number, not ${text}`);
  return number;
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    steps: { type: 'string', default: '500' },
    seed: { type: 'string', default: '1' },
    lines: { type: 'string', default: '40' },
    replay: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(usage);
} else {
  const options: FaultsOptions = {
    seeds: wholeNumber(values.seeds, 'seeds'),
    steps: wholeNumber(values.steps, 'steps'),
    seed: wholeNumber(values.seed, 'seed'),
    lines: wholeNumber(values.lines, 'lines'),
  };
  process.exitCode = (await (values.replay ? replay(options) : runAll(options))) ? 0 : 1;
}
