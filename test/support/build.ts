/** Small complete values for tests; each says only what it is about. */
import type { BackendSpec } from '../../src/core/backend.ts';
import type { Event } from '../../src/core/events.ts';
import { createFleet, type Fleet } from '../../src/core/fleet.ts';
import type { HealthOptions } from '../../src/core/health.ts';
import type { InstalledModel, Job, ResidentModel } from '../../src/core/types.ts';
import { seededRng } from './random.ts';
import { virtualClock, type VirtualClock } from './virtual-clock.ts';

let jobs = 0;

export function job(overrides: Partial<Job> = {}): Job {
  jobs += 1;
  return {
    id: `job-${jobs}`,
    client: 'client',
    address: '192.0.2.1',
    model: 'tiny:latest',
    task: 'chat',
    runnerOptions: '',
    promptTokens: 10,
    maxOutputTokens: null,
    session: null,
    prefix: [],
    priority: 0,
    ...overrides,
  };
}

export function backend(id: string, overrides: Partial<BackendSpec> = {}): BackendSpec {
  return { id, url: `http://${id}.example:11434`, weight: 1, slots: 4, models: null, ...overrides };
}

export function installed(name: string, overrides: Partial<InstalledModel> = {}): InstalledModel {
  const digest = overrides.digest ?? 'd'.repeat(64);
  const raw = { name, model: name, modified_at: '2026-11-22T14:29:21.0Z', size: 100, digest };
  return { name, digest, sizeBytes: 100, raw, ...overrides };
}

export function resident(name: string, overrides: Partial<ResidentModel> = {}): ResidentModel {
  return {
    name,
    digest: 'd'.repeat(64),
    sizeBytes: 100,
    vramBytes: 100,
    contextLength: 4096,
    expiresAt: null,
    raw: { name, model: name },
    ...overrides,
  };
}

/** The schema's defaults, in the numbers a room receives. */
export const healthDefaults: HealthOptions = {
  riseAfter: 2,
  fallAfter: 3,
  refusedIsDown: true,
  ejectAfter: 3,
  ejectRatio: 0.5,
  ejectMinimum: 10,
  ejectWindow: 30_000,
  ejectTime: 5000,
  ejectTimeLimit: 300_000,
  probationTimeout: 30_000,
  slowStart: 30_000,
  busyPause: 1000,
};

export interface FleetBench {
  readonly fleet: Fleet;
  readonly clock: VirtualClock;
  readonly events: Event[];
}

/** A fleet on a virtual clock; every backend is up and has `models` unless `models` is null (not known). */
export function fleetOf(
  specs: readonly BackendSpec[],
  {
    models = ['tiny:latest'],
    health = {},
  }: { models?: readonly string[] | null; health?: Partial<HealthOptions> } = {},
): FleetBench {
  const clock = virtualClock();
  const events: Event[] = [];
  const fleet = createFleet(
    { clock, rng: seededRng(1), emit: (event) => void events.push(event) },
    { ...healthDefaults, ...health },
  );
  fleet.set(specs);
  for (const { id } of specs) {
    fleet.observe(id, { kind: 'alive', version: '0.33.0' });
    if (models !== null) fleet.observe(id, { kind: 'inventory', models: models.map((name) => installed(name)) });
  }
  events.length = 0;
  return { fleet, clock, events };
}
