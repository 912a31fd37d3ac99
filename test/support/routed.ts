/** A scheduler with the policy `soonest` over a fleet on a virtual clock; loads are carried out when a test says so. */
import type { BackendSpec } from '../../src/core/backend.ts';
import type { Intent } from '../../src/core/planner.ts';
import { createScheduler, type Lease, type Scheduler } from '../../src/core/scheduler.ts';
import { Soonest, type SoonestOptions } from '../../src/core/routing/soonest.ts';
import type { Job, Outcome, Usage } from '../../src/core/types.ts';
import { fleetOf, job, resident, type FleetBench } from './build.ts';
import { seededRng } from './random.ts';
import { settled } from './virtual-clock.ts';

export interface Routed extends FleetBench {
  readonly scheduler: Scheduler;
  readonly planner: Soonest;
  /** Every intent so far, as `load a m` or `unload a m`. */
  readonly intents: string[];
  /** Ends the running load of a backend, `null` badly. Throws when there is none. */
  endLoad(backend: string, tookMs: number | null): Promise<void>;
  /** What `/api/ps` of a backend tells. */
  inMemory(backend: string, ...models: string[]): Promise<void>;
  ask(overrides?: Partial<Job>, tried?: readonly string[]): Asked;
}

export interface Asked {
  readonly job: Job;
  lease: Lease | null;
  error: Error | null;
  leave(): void;
  /** Ends it well. */
  done(usage?: Usage): Promise<void>;
  ended(outcome: Outcome): Promise<void>;
}

export async function routed(
  specs: readonly BackendSpec[],
  {
    models = ['m:latest'],
    performs = true,
    ...options
  }: Partial<SoonestOptions> & { models?: string[]; performs?: boolean } = {},
): Promise<Routed> {
  const parts = fleetOf(specs, { models });
  const planner = new Soonest(
    { patience: 45_000, headroom: 0.0625, prompts: 50, decisions: 64, ...options },
    seededRng(5),
  );
  const intents: string[] = [];
  const loading = new Map<string, (tookMs: number | null) => void>();
  const perform = ({ kind, backend, model, runnerOptions }: Intent, ended: (tookMs: number | null) => void): void => {
    intents.push(`${kind} ${backend} ${model}${runnerOptions === '' ? '' : ` ${runnerOptions}`}`);
    if (kind === 'unload') return ended(0);
    if (loading.has(backend)) throw new Error(`two loads at once on ${backend}`);
    loading.set(backend, ended);
  };
  const scheduler = createScheduler(
    { ...parts, policy: planner, emit: () => {}, ...(performs ? { perform } : {}) },
    { limit: 1000, timeout: 600_000, refuseEarly: false, ageing: 30_000, waitForBackend: true },
  );
  const bench: Routed = {
    ...parts,
    scheduler,
    planner,
    intents,
    async endLoad(backend, tookMs) {
      const ended = loading.get(backend);
      if (ended === undefined) throw new Error(`nothing loads on ${backend}`);
      loading.delete(backend);
      ended(tookMs);
      await settled();
    },
    async inMemory(backend, ...names) {
      parts.fleet.observe(backend, { kind: 'resident', models: names.map((name) => resident(name)) });
      await settled();
    },
    ask(overrides = {}, tried = []) {
      const leaver = new AbortController();
      const asked: Asked = {
        job: job({ model: 'm:latest', ...overrides }),
        lease: null,
        error: null,
        leave: () => leaver.abort(),
        done: (usage = {}) => asked.ended({ kind: 'done', usage, firstByteMs: null }),
        async ended(outcome) {
          if (asked.lease === null) throw new Error('it has no lease');
          asked.lease.release(outcome);
          await settled();
        },
      };
      scheduler.acquire(asked.job, tried, leaver.signal).then(
        (lease) => (asked.lease = lease),
        (error: Error) => (asked.error = error),
      );
      return asked;
    },
  };
  for (const { id } of specs) await bench.inMemory(id);
  return bench;
}
