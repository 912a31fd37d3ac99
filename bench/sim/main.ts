/**
 * The league: every policy in every case, on a simulated fleet.
 *
 *   npm run sim                                           everything, median of five seeds; writes bench/results/league.*
 *   npm run sim -- --case A,C --policy soonest,hash-model some of it; writes nothing
 *   npm run sim -- --case M --update                      a case again, written into bench/results/league.*
 *   npm run sim -- --render                               the pages anew from bench/results/league.json
 *   npm run sim -- --case A --policy soonest --seed 7 --replay    one run, with the digest of all that happened; --log FILE for the events
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { barsOf, barsTable } from './bars.ts';
import { caseNamed, cases, type Case } from './cases.ts';
import { entrantNamed, entrants, type Entrant } from './entrants.ts';
import { figuresOf, medianFigures, type Figures } from './measure.ts';
import { tableOf, type CaseResult } from './table.ts';
import { azureLengths } from './traces.ts';
import { createWorkload } from './workload.ts';
import { play, type Played } from './world.ts';

const { values } = parseArgs({
  options: {
    case: { type: 'string' },
    policy: { type: 'string' },
    seeds: { type: 'string', default: '1,2,3,4,5' },
    seed: { type: 'string' },
    replay: { type: 'boolean', default: false },
    log: { type: 'string' },
    'load-seconds': { type: 'string' },
    render: { type: 'boolean', default: false },
    update: { type: 'boolean', default: false },
  },
});

const folder = path.join(import.meta.dirname, '..', 'results');
const lengths = azureLengths();
const chosen = values.case === undefined ? cases : values.case.split(',').map(caseNamed);
const playing = values.policy === undefined ? entrants : values.policy.split(',').map(entrantNamed);
const seeds = (values.seed ?? values.seeds).split(',').map(Number);
const loadMs = values['load-seconds'] === undefined ? null : 1000 * Number(values['load-seconds']);

if (values.render) render();
else if (values.replay) await replay();
else await league();

async function league(): Promise<void> {
  const results: CaseResult[] = [];
  for (const listed of chosen) {
    const of = loadMs === null ? listed : { ...listed, loadMs };
    const rows = [];
    for (const entrant of playing) {
      if (of.policies?.includes(entrant.name) === false) continue;
      const runs: Figures[] = [];
      for (const seed of seeds) runs.push(figuresOf(await run(of, entrant, seed)));
      rows.push({ policy: entrant.name, figures: medianFigures(runs) });
    }
    const { source } = createWorkload(of, seeds[0]!, lengths);
    const result = { of, source, seeds, rows };
    results.push(result);
    console.log(tableOf(result));
  }
  const bars = barsOf(results);
  console.log(barsTable(bars));
  const isWhole = values.case === undefined && values.policy === undefined && loadMs === null;
  if (isWhole && values.seed === undefined) write(results, barsTable(bars));
  if (values.update && values.policy === undefined) {
    const before = written();
    const all = cases.flatMap(({ name }) => {
      return results.find(({ of }) => of.name === name) ?? before.find(({ of }) => of.name === name) ?? [];
    });
    write(all, barsTable(barsOf(all)));
  }
}

async function replay(): Promise<void> {
  const file = values.log === undefined ? null : openSync(values.log, 'w');
  for (const of of chosen) {
    for (const entrant of playing) {
      for (const seed of seeds) {
        const log = file === null ? {} : { log: (line: string) => void writeSync(file, line) };
        const played = await run(of, entrant, seed, log);
        console.log(`case ${of.name}  policy ${entrant.name}  seed ${seed}  digest ${played.digest}`);
        console.log(JSON.stringify(figuresOf(played)));
      }
    }
  }
  if (file !== null) closeSync(file);
}

function run(of: Case, entrant: Entrant, seed: number, log: { log?: (line: string) => void } = {}): Promise<Played> {
  return play(of, seed, createWorkload(of, seed, lengths), { createRouter: entrant.create, ...log });
}

function written(): CaseResult[] {
  const text = readFileSync(path.join(folder, 'league.json'), 'utf8');
  const results = JSON.parse(text, (_key, value: unknown) => (value === 'never' ? Infinity : value)) as Plain[];
  return results.map(({ case: of, lengths: source, ...rest }) => ({ of, source, ...rest }));
}

/** From what was written, without playing again. */
function render(): void {
  const results = written();
  const bars = barsTable(barsOf(results));
  console.log(bars);
  write(results, bars);
}

function write(results: readonly CaseResult[], bars: string): void {
  mkdirSync(folder, { recursive: true });
  const where = `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}; simulated time, so that the machine decides nothing.`;
  const text = [
    '# The league',
    '',
    'Written by `npm run sim`. TTFT counts unfinished requests as infinitely late (`never`); the `finished` columns leave them out.',
    where,
    '',
    '## Bars',
    '',
    bars,
    '## Who plays',
    '',
    ...entrants.map(({ name, summary }) => `- \`${name}\`: ${summary}`),
    '',
    '## Cases',
    '',
    ...results.map(tableOf),
  ].join('\n');
  writeFileSync(path.join(folder, 'league.md'), text);
  writeFileSync(path.join(folder, 'league.json'), `${JSON.stringify(results.map(plain), replaceInfinity, 1)}\n`);
  console.log(`written to ${path.join('bench', 'results', 'league.md')} and league.json`);
}

interface Plain extends Omit<CaseResult, 'of' | 'source'> {
  readonly case: Case;
  readonly lengths: string;
}

function plain({ of, source, ...rest }: CaseResult): Plain {
  return { case: of, lengths: source, ...rest };
}

function replaceInfinity(_key: string, value: unknown): unknown {
  return value === Infinity ? 'never' : value;
}
