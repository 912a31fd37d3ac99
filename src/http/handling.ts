/** What requests are handled with under a configuration: the journey of inference, and the surface of everything else. */
import type { Backends } from '../backends/backends.ts';
import { isInUse } from '../core/backend-view.ts';
import { createBlobMemory } from '../core/blob-memory.ts';
import { digestOn, holdersOfDigest, type Catalogue } from '../core/catalogue.ts';
import type { Emit } from '../core/events.ts';
import type { Fleet } from '../core/fleet.ts';
import { createModelRules, type ModelRulesOptions } from '../core/model-rules.ts';
import type { PlacementOptions } from '../core/placement.ts';
import { createQuotas } from '../core/quota.ts';
import { createQuarantine, type QuarantineOptions } from '../core/quarantine.ts';
import { createRetry, type RetryOptions } from '../core/retry.ts';
import type { Scheduler } from '../core/scheduler.ts';
import type { BackendId, Clock, Millis, ModelName, Rng } from '../core/types.ts';
import type { JourneyDependencies } from './journey.ts';
import { keyedHash } from './keyed-hash.ts';
import { remoteModels } from './permit.ts';
import type { Pressure } from './pressure.ts';
import type { SurfaceOptions } from './proxy.ts';
import { createResumer, type ResumeOptions } from './resume.ts';
import type { StreamOptions } from './streams.ts';
import { createSurface, type Surface } from './surface.ts';
import { timeoutsFor, type TimeoutOptions } from './timeouts.ts';
import { createTurns } from './turns.ts';

export interface HandlingDependencies {
  readonly backends: Backends;
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly fleet: Fleet;
  readonly pressure: Pressure;
  readonly rng: Rng;
  readonly scheduler: Scheduler;
  readonly wallNow: () => number;
}

/** The sections of a configuration that say how a request is handled. */
export interface HandlingOptions {
  readonly listen: { readonly bodyLimit: number; readonly bodyTimeout: Millis };
  readonly models: ModelRulesOptions;
  readonly placement: PlacementOptions;
  readonly resume: ResumeOptions;
  readonly retry: RetryOptions;
  readonly streams: StreamOptions;
  readonly surface: SurfaceOptions;
  readonly timeouts: TimeoutOptions;
}

/** What requests are handled with. */
export interface Handling {
  readonly travel: JourneyDependencies;
  readonly surface: Surface;
}

/** Under a configuration; a request keeps those it started with. */
export function createHandling(
  dependencies: HandlingDependencies,
  quarantineOptions: QuarantineOptions,
): (config: HandlingOptions) => Handling {
  const { backends, catalogue, clock, emit, fleet, pressure, rng, scheduler, wallNow } = dependencies;
  const client = (id: BackendId) => backends.client(id);
  const hash = keyedHash();
  const quarantine = createQuarantine(quarantineOptions);
  const quotas = createQuotas();
  const turns = createTurns();
  const known = {
    client,
    catalogue,
    clock,
    emit,
    hash,
    memory: createBlobMemory({ clock }),
    pressure,
    refresh: backends.refresh.bind(backends),
    view: () => fleet.view().filter(({ id }) => backends.has(id)),
  };
  const whereabouts = {
    isRemote: remoteModels(catalogue),
    digestOn: (id: BackendId, model: ModelName) => digestOn(fleet.view(), id, model),
    holdersOfDigest: (model: ModelName, digest: string) => holdersOfDigest(fleet.view(), model, digest),
  };
  let last: { readonly config: HandlingOptions; readonly handling: Handling } | null = null;
  return (config) => {
    if (last?.config === config) return last.handling;
    const { listen, models, placement, retry, surface: surfaceOptions, timeouts } = config;
    const limits = { size: listen.bodyLimit, timeout: listen.bodyTimeout, minimumRate: 1024, turns };
    const times = timeoutsFor(timeouts);
    const canServe = (model: ModelName) => isServed(model, dependencies);
    const book = { rules: createModelRules(models), canServe, emit };
    const surface = createSurface(known, {
      book,
      limits,
      placement,
      surface: surfaceOptions,
      timeouts: times(null, false),
    });
    const shared = {
      client,
      clock,
      emit,
      quarantine,
      scheduler,
      verdict: (id: BackendId, ok: boolean) => backends.verdict(id, ok),
      retry: createRetry({ rng }, retry),
      timeouts: times,
    };
    const resumer = createResumer({ ...shared, ...whereabouts }, config.resume);
    const travel = {
      ...shared,
      resumer,
      quotas,
      hash,
      limits,
      pressure,
      wallNow,
      streams: config.streams,
      book,
      unload: surface.unload,
      isRemote: whereabouts.isRemote,
    };
    last = { config, handling: { travel, surface } };
    return last.handling;
  };
}

/** Whether some backend that is up has the model. */
function isServed(model: ModelName, { catalogue, fleet }: Pick<HandlingDependencies, 'catalogue' | 'fleet'>): boolean {
  const up = new Set(
    fleet
      .view()
      .filter(isInUse)
      .map(({ id }) => id),
  );
  return catalogue.find(model)?.backends.some((id) => up.has(id)) ?? false;
}
