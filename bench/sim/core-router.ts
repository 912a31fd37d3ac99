/** Llamero's core in front of the simulated fleet: fleet, scheduler and policy as in the gateway, without the wire between. */
import type { BackendSpec } from '../../src/core/backend.ts';
import { createFleet } from '../../src/core/fleet.ts';
import type { HealthOptions } from '../../src/core/health.ts';
import type { Intent } from '../../src/core/planner.ts';
import { createPolicy, type PolicyName, type PolicyOptions } from '../../src/core/policies/choice.ts';
import { createScheduler, type Lease } from '../../src/core/scheduler.ts';
import type { SchedulerOptions } from '../../src/core/scheduler-options.ts';
import type { Job, ResidentModel, Usage } from '../../src/core/types.ts';
import type { ResidentRunner } from '../../src/simulator/scheduler.ts';
import type { RunnerOptions, Timing } from '../../src/simulator/scheduler-types.ts';
import { cachedPrompts } from './workload.ts';
import type { Ask, Router, World } from './world.ts';

/** `/api/ps` is read so often, as the gateway's prober does. */
const OBSERVED_EVERY_MS = 5000;

export interface CoreRouterOptions {
  readonly policy: PolicyName;
  /** Whether the operator has told slots and places; else both are learnt. */
  readonly told: boolean;
  /** Whether the scheduler is told one client from another; else everybody is one, and first come is first served. */
  readonly fair?: boolean;
}

export function coreRouter({ policy, told, fair = true }: CoreRouterOptions): (world: World) => Router {
  return (world) => {
    const { loop: clock, rng } = world;
    const emit = (): void => {};
    const fleet = createFleet({ clock, rng, emit }, health);
    const perform = (intent: Intent, ended: (tookMs: number | null) => void): void => {
      const backend = Number(intent.backend);
      const model = world.models.findIndex(({ name }) => name === intent.model);
      if (intent.kind === 'load') world.load(backend, model, optionsOf(intent.runnerOptions), ended);
      else world.unload(backend, model);
    };
    const scheduler = createScheduler(
      { fleet, policy: createPolicy(optionsFor(world, { policy, told }), rng), clock, emit, perform },
      world.of.clients !== undefined ? asConfigured : patient,
    );
    fleet.set(world.backends.map(({ index }) => specOf(world, index, { policy, told })));
    for (const { index } of world.backends) fleet.observe(String(index), { kind: 'alive', version: '0.33.0' });

    const observe = (): void => {
      for (const { index, ollama } of world.backends) {
        fleet.observe(String(index), { kind: 'resident', models: ollama.resident().map(shown) });
      }
      clock.after(OBSERVED_EVERY_MS, observe);
    };
    observe();

    const leases = new Map<number, Lease>();
    const { signal } = new AbortController();
    return {
      arrive(ask) {
        world.pending(
          scheduler.acquire(fair ? jobOf(ask, world) : { ...jobOf(ask, world), client: 'all' }, [], signal).then(
            (lease) => {
              leases.set(ask.id, lease);
              world.forward(ask, Number(lease.backend));
            },
            () => world.refuse(ask),
          ),
        );
      },
      firstToken: (ask) => leases.get(ask.id)?.firstByte(clock.now() - ask.arrivedAt),
      answered({ ask, timing }) {
        const lease = leases.get(ask.id);
        leases.delete(ask.id);
        if (timing === null) lease?.release({ kind: 'busy' });
        else lease?.release({ kind: 'done', usage: usageOf(timing), firstByteMs: timing.totalMs - timing.outputMs });
      },
    };
  };
}

/** Nobody gives up, so that a policy's figures hold its worst. */
const patient: SchedulerOptions = {
  limit: 1e6,
  timeout: Infinity,
  refuseEarly: false,
  ageing: 30_000,
  waitForBackend: true,
};

/** Where more comes than can ever be served, the gateway's own limits decide. */
const asConfigured: SchedulerOptions = {
  limit: 1000,
  timeout: 120_000,
  refuseEarly: true,
  ageing: 30_000,
  waitForBackend: true,
};

export const health: HealthOptions = {
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
  slowStart: 0,
  busyPause: 1000,
};

function optionsFor({ of }: World, { policy, told }: CoreRouterOptions): PolicyOptions {
  return told && policy === 'soonest' ? { name: policy, prompts: cachedPrompts(of) } : policy;
}

function specOf({ of }: World, index: number, { policy, told }: CoreRouterOptions): BackendSpec {
  const spec = { id: String(index), url: `http://backend-${index}`, weight: 1, models: null };
  if (!told) return { ...spec, slots: 'auto' };
  // A policy that knows nothing of runners is given as many slots as the backend has in all.
  if (policy !== 'soonest') return { ...spec, slots: of.slots * of.places };
  return { ...spec, slots: 'auto', parallel: of.slots, places: of.places };
}

function jobOf({ id, conversation, turn }: Ask, { models }: World): Job {
  return {
    id: String(id),
    client: conversation.client,
    address: '192.0.2.1',
    model: models[conversation.model]!.name,
    task: 'chat',
    runnerOptions: Object.entries(conversation.options)
      .map(([option, value]) => `${option}=${value}`)
      .join(','),
    promptTokens: turn.promptTokens,
    maxOutputTokens: null,
    session: null,
    prefix: turn.prefix,
    priority: 0,
  };
}

function optionsOf(text: string): RunnerOptions {
  if (text === '') return {};
  return Object.fromEntries(text.split(',').map((part) => [part.split('=')[0], Number(part.split('=')[1])]));
}

function shown({ model, sizeBytes, contextLength }: ResidentRunner): ResidentModel {
  const { name } = model;
  return { name, digest: model.blob, sizeBytes, vramBytes: sizeBytes, contextLength, expiresAt: null, raw: {} };
}

function usageOf({ promptTokens, outputTokens, loadMs, promptMs, outputMs, totalMs }: Timing): Usage {
  return { promptTokens, outputTokens, loadMs, promptMs, outputMs, totalMs };
}
