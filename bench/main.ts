/**
 * `npm run bench`: what a request and a streamed chunk cost in Llamero, next to the direct way, nginx and HAProxy, all in
 * one interleaved run. docs/benchmarks.md tells how to read it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readArguments, usage, type BenchOptions } from './load/arguments.ts';
import { bytesAtRest, bytesPerStream, visit, warm, type Bystanders, type Target, type Visit } from './load/measure.ts';
import { chooseCores, startBackend, startGenerator, stopAll, type Cores } from './load/processes.ts';
import {
  DIRECT,
  harnessChecks,
  memoryTable,
  promises,
  rowsOf,
  tableOf,
  type Check,
  type MemoryRow,
  type Row,
} from './load/report.ts';
import { MEMORY_STREAMS, scenarios, type Scenario } from './load/scenarios.ts';
import { summarise, thereAndBack } from './load/statistics.ts';
import { proxies } from './proxies/index.ts';
import type { Proxy, ProxyContext, RunningProxy } from './proxies/proxy.ts';

const WARM_REQUESTS = 20_000;

interface Bench {
  readonly options: BenchOptions;
  readonly context: ProxyContext;
  readonly others: Bystanders;
  readonly directPort: number;
}

/** This run's own, for configuration files. */
const directory = mkdtempSync(join(tmpdir(), 'llamero-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

async function main(options: BenchOptions): Promise<boolean> {
  try {
    const cores = chooseCores();
    const chosen = chooseProxies(options);
    describe(cores, chosen);
    const backend = await startBackend(cores?.backend ?? null);
    const generator = startGenerator(cores?.generator ?? null);
    const bench: Bench = {
      options,
      context: {
        directory,
        backendPort: backend.port,
        core: cores?.proxy ?? null,
        profileDirectory: options.profileDirectory,
      },
      others: { generator, backendPids: [backend.child.pid!] },
      directPort: backend.port,
    };
    const rows = await measureLoads(bench, chosen);
    const memory = options.parts.has('memory') ? await measureMemory(bench, chosen) : [];
    return conclude(options, { cores, chosen, rows, memory });
  } finally {
    await stopAll();
  }
}

/** The proxies asked for that are installed; says which are not. */
function chooseProxies({ targets }: BenchOptions): Proxy[] {
  const unknown = targets.filter((name) => !proxies.some((proxy) => proxy.name === name));
  if (unknown.length > 0) throw new Error(`no such target: ${unknown.join(', ')}`);
  return proxies.filter((proxy) => {
    if (!targets.includes(proxy.name)) return false;
    if (proxy.version() !== null) return true;
    console.log(`${proxy.name} is not installed: its row is missing.`);
    return false;
  });
}

function describe(cores: Cores | null, chosen: readonly Proxy[]): void {
  const versions = chosen.map((proxy) => `${proxy.name} ${proxy.version()}`);
  console.log(`${availableParallelism()} cores; Node ${process.versions.node}; ${versions.join(', ')}`);
  console.log(
    cores === null
      ? 'Nothing is pinned (that takes taskset and two cores): expect noise.'
      : `Pinned: proxies to core ${cores.proxy}, generator to ${cores.generator}, backend to ${cores.backend}.`,
  );
}

async function measureLoads(bench: Bench, chosen: readonly Proxy[]): Promise<Map<Scenario, Row[]>> {
  const { options, context, others } = bench;
  const wanted = scenarios(options.quick).filter((scenario) => options.parts.has(scenario.key));
  const rows = new Map<Scenario, Row[]>();
  if (wanted.length === 0) return rows;
  const running = new Map<string, RunningProxy>();
  for (const proxy of chosen) running.set(proxy.name, await proxy.start(context));
  const targets: Target[] = [
    { name: DIRECT, port: bench.directPort, pids: [] },
    ...[...running].map(([name, { port, pids }]) => ({ name, port, pids })),
  ];
  for (const target of targets) await warm(target, WARM_REQUESTS, others.generator);
  for (const scenario of wanted) {
    const visits = new Map<string, Visit[]>(targets.map(({ name }) => [name, []]));
    for (const target of Array.from({ length: options.rounds }, () => thereAndBack(targets)).flat()) {
      visits.get(target.name)!.push(await visit(target, scenario.load, scenario.pace, others));
    }
    const own = rowsOf(visits, scenario.unit);
    rows.set(scenario, own);
    console.log(`\n${scenario.title}\n${tableOf(own, scenario.unit)}`);
  }
  for (const proxy of running.values()) await proxy.stop();
  return rows;
}

/** A fresh process for each sample, since memory that a process has once taken it rarely gives back. */
async function measureMemory(bench: Bench, chosen: readonly Proxy[]): Promise<MemoryRow[]> {
  const { options, context, others } = bench;
  const samples: { target: string; streams: number; bytes: number | null }[] = [];
  for (let round = 0; round < (options.quick ? 1 : 2); round++) {
    for (const proxy of chosen) {
      const running = await proxy.start(context);
      const target = { name: proxy.name, port: running.port, pids: running.pids };
      await warm(target, WARM_REQUESTS, others.generator);
      const before = await bytesAtRest(target);
      for (const streams of MEMORY_STREAMS) {
        const bytes = await bytesPerStream(target, streams, before, others.generator);
        samples.push({ target: proxy.name, streams, bytes });
      }
      await running.stop();
    }
  }
  const rows = chosen.flatMap(({ name }) =>
    MEMORY_STREAMS.map((streams) => {
      const own = samples.filter((sample) => sample.target === name && sample.streams === streams);
      const bytesPerStream = summarise(own.map(({ bytes }) => bytes).filter((bytes) => bytes !== null));
      return { target: name, streams, bytesPerStream };
    }),
  );
  console.log(`\nmemory of open, nearly idle streams in a warm process\n${memoryTable(rows)}`);
  return rows;
}

interface Findings {
  readonly cores: Cores | null;
  readonly chosen: readonly Proxy[];
  readonly rows: ReadonlyMap<Scenario, readonly Row[]>;
  readonly memory: readonly MemoryRow[];
}

/** Prints the checks, writes the record; tells whether every answer was right. */
function conclude(options: BenchOptions, { cores, chosen, rows, memory }: Findings): boolean {
  const harness = [...rows].flatMap(([scenario, own]) => harnessChecks(scenario.key, own));
  const bars = promises(Object.fromEntries([...rows].map(([scenario, own]) => [scenario.key, own])), memory);
  const errors = [...rows.values()].flat().reduce((sum, row) => sum + row.errors, 0);
  print('How we know that the harness was not the limit', harness);
  print('What Llamero promises', bars);
  if (errors > 0) console.log(`\nFAILED: ${errors} answers went wrong; no figure of this run counts.`);
  if (options.write && errors === 0) {
    const date = new Date().toISOString().slice(0, 10);
    const directory = fileURLToPath(import.meta.resolve('./results/'));
    mkdirSync(directory, { recursive: true });
    const record = {
      date,
      machine: { cores: availableParallelism(), cpu: cpus()[0]?.model ?? 'unknown', pinned: cores !== null },
      versions: Object.fromEntries([
        ['node', process.versions.node],
        ...chosen.map((one) => [one.name, one.version()]),
      ]),
      rounds: options.rounds,
      scenarios: [...rows].map(([{ key, title, unit }, own]) => ({ key, title, unit, rows: own })),
      memory,
      harness,
      promises: bars,
    };
    writeFileSync(join(directory, `overhead-${date}.json`), `${JSON.stringify(record, null, 2)}\n`);
    console.log(`\nwritten: bench/results/overhead-${date}.json`);
  }
  return errors === 0;
}

function print(title: string, checks: readonly Check[]): void {
  if (checks.length === 0) return;
  console.log(`\n${title}`);
  for (const { text, holds } of checks) console.log(`  ${holds ? 'yes' : 'NO '}  ${text}`);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => void stopAll().then(() => process.exit(code)));
}

if (process.argv.includes('--help')) {
  console.log(usage);
} else {
  try {
    process.exitCode = (await main(readArguments(process.argv.slice(2)))) ? 0 : 1;
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
