/**
 * Loaded into the gateway's process before the gateway (`--import`): writes what the process looks like from inside to the file
 * that CHAOS_WITNESS names, every half second. SIGUSR2 starts the measurement of the event loop afresh and collects garbage, so
 * that a figure is of what is held and not of what was not yet cleared.
 *
 * CHAOS_WALL_SHIFTS, a list of [milliseconds after the start, offset in milliseconds], moves the wall clock as JavaScript sees it.
 */
import { openSync, writeSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { nowMicros } from '../load/script.ts';
import type { Sampled } from './history.ts';

const file = process.env['CHAOS_WITNESS'];
const everyMs = 500;
const resolutionMs = 10;

if (file !== undefined) watch(openSync(file, 'a'));
const shifts = process.env['CHAOS_WALL_SHIFTS'];
if (shifts !== undefined) shiftWallClock(JSON.parse(shifts) as [number, number][]);

function watch(to: number): void {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const tell = (): void => {
    const { external, heapUsed, rss } = process.memoryUsage();
    const resources: Record<string, number> = {};
    for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1;
    const sample: Sampled = {
      kind: 'sampled',
      at: nowMicros() / 1000,
      wall: Date.now(),
      rss,
      heap: heapUsed,
      external,
      resources,
      lagP99: late(delay.percentile(99)),
      lagMax: late(delay.max),
    };
    writeSync(to, `${JSON.stringify(sample)}\n`);
  };
  // Nobody is left to stop the gateway when the programme is killed.
  const parent = process.ppid;
  const look = (): void => {
    if (process.ppid !== parent) process.exit();
    tell();
  };
  setInterval(look, everyMs).unref();
  process.on('SIGUSR2', () => {
    (globalThis as { gc?: () => void }).gc?.();
    delay.reset();
    tell();
  });
  tell();
}

/** Milliseconds on top of the resolution; 0 before the first measurement. */
function late(nanoseconds: number): number {
  const ms = nanoseconds / 1e6 - resolutionMs;
  return ms > 0 && ms < 1e9 ? ms : 0;
}

function shiftWallClock(steps: readonly (readonly [number, number])[]): void {
  const Real = Date;
  let offset = 0;
  for (const [afterMs, to] of steps) {
    setTimeout(() => {
      offset = to;
    }, afterMs).unref();
  }
  const now = (): number => Real.now() + offset;
  globalThis.Date = new Proxy(Real, {
    construct: (target, args: []) => Reflect.construct(target, args.length === 0 ? [now()] : args) as Date,
    apply: () => new Real(now()).toString(),
    get: (target, name) => (name === 'now' ? now : (Reflect.get(target, name) as unknown)),
  });
}
