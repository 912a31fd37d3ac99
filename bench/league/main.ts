/**
 * The league live: cases of the simulated league over HTTP, with simulated Ollamas at a multiple of their pace behind Llamero, nginx
 * and HAProxy, and beside each figure what the simulation says of the same conversations.
 *
 *   npm run league                                  cases A, D and E, 20 simulated minutes each at 20 times their pace: 10 minutes in all;
 *                                                   writes bench/results/league-live.*
 *   npm run league -- --case D --minutes 5          some of it; writes nothing
 *
 * Give it a machine with nothing else to do: a millisecond of its time is 20 of theirs.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { start, stop, stopAll } from '../load/processes.ts';
import { caseNamed, type Case } from '../sim/cases.ts';
import { entrantNamed } from '../sim/entrants.ts';
import { figuresOf, type Figures } from '../sim/measure.ts';
import { azureLengths } from '../sim/traces.ts';
import { createWorkload, type Workload } from '../sim/workload.ts';
import { play, type Record } from '../sim/world.ts';
import { playLive, withoutAnswers } from './clients.ts';
import { contenders, type Contender } from './contenders.ts';
import type { OllamasLoads, OllamasOrder, OllamasReady } from './ollamas.ts';
import { report, type LiveCase, type LiveRow } from './report.ts';

const { values } = parseArgs({
  options: {
    case: { type: 'string' },
    minutes: { type: 'string', default: '20' },
    scale: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
});

const WARM_UP = 0.15;
/** What comes this late in a run could not be answered before its end, by anybody. */
const TAIL_MS = 60_000;
const [minutes, scale, seed] = [values.minutes, values.scale, values.seed].map(Number) as [number, number, number];
const horizonMs = minutes * 60_000;
const lengths = azureLengths();
const directory = mkdtempSync(path.join(tmpdir(), 'llamero-league-'));

process.on('SIGINT', () => void stopAll().then(() => process.exit(130)));
try {
  await league();
} finally {
  await stopAll();
  rmSync(directory, { recursive: true });
}

async function league(): Promise<void> {
  const results: LiveCase[] = [];
  for (const name of (values.case ?? 'A,D,E').split(',')) {
    const of: Case = { ...caseNamed(name), horizonMs, warmUpMs: WARM_UP * horizonMs };
    const workload = withoutAnswers(createWorkload(of, seed, lengths));
    const rows: LiveRow[] = [];
    for (const contender of contenders) {
      const version = contender.version();
      if (version === null) console.error(`${contender.name} is not installed here, and is left out`);
      else rows.push(await row(contender, version, of, workload));
    }
    results.push({ name: of.name, title: of.title, source: workload.source, rows });
  }
  const text = report(results, { minutes, scale, seed, machine: machine() });
  console.log(text);
  const isWhole = values.case === undefined && values.scale === '20';
  if (!isWhole) return;
  const folder = path.join(import.meta.dirname, '..', 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'league-live.md'), text);
  const never = (_key: string, value: unknown) => (value === Infinity ? 'never' : value);
  writeFileSync(path.join(folder, 'league-live.json'), `${JSON.stringify(results, never, 1)}\n`);
}

async function row(contender: Contender, version: string, of: Case, workload: Workload): Promise<LiveRow> {
  const simulated = await play(of, seed, workload, { createRouter: entrantNamed(contender.simulated).create });
  const live = await playOnce(contender, of, workload);
  console.error(`${of.name}: ${contender.name} has played`);
  const { loads, records } = simulated;
  return { name: contender.name, version, simulated: figures(records, loads), live };
}

function figures(records: readonly Record[], loads: number): Figures {
  const begun = records.find(({ ask: { conversation, turn } }) => conversation.turns[0] === turn)?.ask;
  const startedAt = begun === undefined ? 0 : begun.arrivedAt - begun.conversation.atMs;
  const inTime = records.filter(({ ask }) => ask.arrivedAt - startedAt < horizonMs - TAIL_MS);
  const tokens = inTime.reduce((sum, { ask, doneAt }) => sum + (doneAt === null ? 0 : ask.turn.outputTokens), 0);
  const outputRate = tokens / ((horizonMs - TAIL_MS - WARM_UP * horizonMs) / 1000);
  return figuresOf({ records: inTime, loads, reloads: 0, outputRate, digest: '' });
}

async function playOnce(contender: Contender, of: Case, workload: Workload): Promise<Figures> {
  const order: OllamasOrder = { of, seed, scale };
  const script = fileURLToPath(import.meta.resolve('./ollamas.ts'));
  const ollamas = start(process.execPath, [script, JSON.stringify(order)], { core: null, ipc: true });
  const [{ ports }] = (await once(ollamas, 'message')) as [OllamasReady];
  const loads = async (): Promise<number> => {
    const answer = once(ollamas, 'message');
    ollamas.send('loads');
    return ((await answer) as [OllamasLoads])[0].loads;
  };
  const proxy = await contender.start({ of, scale, ports, directory });
  let before = Promise.resolve(0);
  const playing = { port: proxy.port, scale, horizonMs, warmUpMs: of.warmUpMs };
  const records = await playLive(workload, playing, () => {
    before = loads();
  });
  const loadsBegun = (await loads()) - (await before);
  await proxy.stop();
  await stop(ollamas);
  return figures(records, loadsBegun);
}

function machine(): string {
  return `Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}`;
}
