/**
 * `npm run soak`: a million requests with mixed faults, checked as they go, and a look at what the gateway's process holds: its
 * memory must not grow, its descriptors and timers must return to where they were.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Violation } from '../chaos/check.ts';
import { askInTurn } from '../chaos/load.ts';
import { mebibytes } from '../chaos/scenario.ts';
import { mixConfig, mixDeadlineMs, mixedWish, mixSlots, startTroubles } from '../chaos/scenarios/mix.ts';
import { Stage } from '../chaos/stage.ts';
import { slopeOf } from './slope.ts';

const usage = `npm run soak -- [options]

  --requests N     how many (1000000)
  --epoch N        how many between two checks (50000, or a twentieth of all)
  --at-once N      how many at a time (32)
  --seed N         luck to begin with (1)
`;

/** Rests, the first of them when the process is warm. */
const PARTS = 5;
const TEN_MINUTES_MS = 600_000;
const SLOPE_LIMIT_BYTES = 1024 * 1024;
/** Until kept connections have been closed for being idle: to backends after a minute. */
const IDLE_MS = 65_000;

/** What the process holds at rest. */
interface Footprint {
  /** Monotonic milliseconds. */
  readonly at: number;
  readonly descriptors: number;
  /** Active resources that are not connections, timers among them. */
  readonly handles: number;
  readonly rss: number;
  readonly heap: number;
}

interface SoakOptions {
  readonly requests: number;
  readonly epoch: number;
  readonly atOnce: number;
  readonly seed: number;
}

async function main(options: SoakOptions): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'llamero-soak-'));
  const stage = await Stage.open({
    directory,
    backends: 4,
    spares: true,
    slots: mixSlots,
    config: mixConfig,
    seed: options.seed,
  });
  const violations: Violation[] = [];
  const endings: Record<string, number> = {};
  const begin = performance.now();
  stage.deadlineMs = mixDeadlineMs;
  try {
    const rests: Footprint[] = [];
    for (let part = 1; part <= PARTS; part += 1) {
      const before = Math.round((options.requests * (part - 1)) / PARTS);
      const count = Math.round((options.requests * part) / PARTS) - before;
      await run(stage, count, options, { violations, endings });
      const held = await rest(stage);
      rests.push(held);
      console.log(`  at rest ${mebibytes(held.rss)} of memory, ${mebibytes(held.heap)} of it the heap`);
    }
    const exitCode = await stage.close();
    const isWell = report({
      options,
      violations,
      endings,
      rests,
      exitCode,
      tookMs: performance.now() - begin,
    });
    if (isWell) rmSync(directory, { recursive: true, force: true });
    return isWell;
  } finally {
    await stage.close();
  }
}

/** Asks in epochs; after each all is quiet for a moment, and what has happened is checked and forgotten. */
async function run(
  stage: Stage,
  count: number,
  { atOnce, epoch }: SoakOptions,
  found: { readonly violations: Violation[]; readonly endings: Record<string, number> },
): Promise<void> {
  for (let asked = 0; asked < count; asked += epoch) {
    const size = Math.min(epoch, count - asked);
    const stop = startTroubles(stage);
    await askInTurn(
      stage.clients,
      atOnce,
      (number) => number >= size,
      () => stage.wish(mixedWish(stage.luck)),
    );
    await stop();
    await stage.quiet();
    const { verdict } = stage.check();
    found.violations.push(...verdict.violations);
    for (const [ending, number] of Object.entries(verdict.figures.endings)) {
      found.endings[ending] = (found.endings[ending] ?? 0) + number;
    }
    const { rss } = stage.gateway.footprint();
    const wrong = verdict.violations.length === 0 ? '' : `, ${verdict.violations.length} VIOLATIONS`;
    console.log(`  ${size} requests, ${mebibytes(rss)} of memory${wrong}`);
    for (const { invariant, id, what } of verdict.violations.slice(0, 20))
      console.log(`       ${invariant} ${id} ${what}`);
  }
}

/**
 * What the process holds when nothing has been asked for a while and garbage has been collected. Under load its memory goes up and
 * down by a hundred megabytes with what V8 has yet to collect or to give back, which would hide any leak.
 */
async function rest(stage: Stage): Promise<Footprint> {
  stage.clients.close();
  await delay(IDLE_MS);
  stage.gateway.signal('SIGUSR2');
  await delay(2_000);
  const sample = stage.samples().at(-1)!;
  let handles = 0;
  for (const [kind, count] of Object.entries(sample.resources)) if (!kind.startsWith('TCP')) handles += count;
  const { descriptors, rss } = stage.gateway.footprint();
  return { at: sample.at, descriptors, rss, handles, heap: sample.heap };
}

interface Soaked {
  readonly options: SoakOptions;
  readonly violations: readonly Violation[];
  readonly endings: Readonly<Record<string, number>>;
  readonly rests: readonly Footprint[];
  readonly exitCode: number | null;
  readonly tookMs: number;
}

function report({ options, violations, endings, rests, exitCode, tookMs }: Soaked): boolean {
  const [first, last] = [rests[0]!, rests.at(-1)!];
  const slope = slopeOf(rests.map(({ at, rss }) => ({ x: at, y: rss }))) * TEN_MINUTES_MS;
  const descriptors = last.descriptors - first.descriptors;
  const handles = last.handles - first.handles;
  const bars = [
    [violations.length === 0, `${violations.length} violations of invariants`],
    [slope < SLOPE_LIMIT_BYTES, `memory grows by ${mebibytes(slope)} in ten minutes (1 MiB)`],
    [Math.abs(descriptors) <= 5, `${descriptors} descriptors more than when warm (±5)`],
    [Math.abs(handles) <= 5, `${handles} timers and other handles more than when warm (±5)`],
    [exitCode === 0, `stops with exit code ${exitCode}`],
  ] as const;
  for (const [holds, text] of bars) console.log(`  ${holds ? 'yes' : 'NO '}  ${text}`);
  const counts = Object.entries(endings).map(([ending, count]) => `${count} ${ending}`);
  console.log(`       ${options.requests} requests in ${Math.round(tookMs / 1000)} s: ${counts.join(', ')}`);
  console.log(`       heap ${mebibytes(first.heap)} when warm, ${mebibytes(last.heap)} at the end`);
  return bars.every(([holds]) => holds);
}

function numberOf(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a number from 1, not ${text}`);
  return value;
}

if (process.argv.includes('--help')) {
  console.log(usage);
} else {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(2),
      options: {
        requests: { type: 'string', default: '1000000' },
        epoch: { type: 'string' },
        'at-once': { type: 'string', default: '32' },
        seed: { type: 'string', default: '1' },
      },
    });
    const requests = numberOf(values.requests, 'requests');
    const isWell = await main({
      requests,
      epoch: numberOf(values.epoch ?? String(Math.min(50_000, Math.ceil(requests / 20))), 'epoch'),
      atOnce: numberOf(values['at-once'], 'at-once'),
      seed: numberOf(values.seed, 'seed'),
    });
    process.exitCode = isWell ? 0 : 1;
  } catch (error) {
    console.error(`soak: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
