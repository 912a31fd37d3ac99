/**
 * What the gateway does to backends of its own accord: loads and unloads for the scheduler, unloads of models that hang, packets that
 * wake sleeping machines, and pulls of models that are required. Core says when; here is how.
 */
import type { Wake } from '../core/backend.ts';
import { isInUse } from '../core/backend-view.ts';
import type { Emit } from '../core/events.ts';
import type { Fleet } from '../core/fleet.ts';
import type { Perform } from '../core/planner.ts';
import { createRequired, type RequiredOptions, type RequiredWatch } from '../core/required.ts';
import type { Clock, Millis } from '../core/types.ts';
import { createWakes, type Wakes } from '../core/wake.ts';
import { createWedgeWatch, type WedgeOptions, type WedgeWatch } from '../core/wedge.ts';
import type { Backends } from './backends.ts';
import { createPerform } from './perform.ts';
import { createPull } from './pull.ts';
import { sendWake } from './wake.ts';

export interface UpkeepDependencies {
  readonly backends: Backends;
  readonly fleet: Fleet;
  readonly clock: Clock;
  readonly emit: Emit;
  /** By UDP when absent. */
  readonly send?: (wake: Wake) => Promise<void>;
}

/** The parts of the configuration that it minds. */
export interface UpkeepOptions {
  readonly wedge: WedgeOptions;
  /** `firstByte`: how long a load may take. */
  readonly timeouts: { readonly firstByte: Millis };
  readonly models: { readonly required: RequiredOptions };
  /** `silence`: how long a backend may say nothing in the middle of a pull. */
  readonly placement: { readonly silence: Millis };
}

export interface Upkeep {
  readonly perform: Perform;
  readonly wakes: Wakes;
  readonly wedges: WedgeWatch;
  readonly required: RequiredWatch;
  setOptions(options: UpkeepOptions): void;
  close(): void;
}

export function createUpkeep(dependencies: UpkeepDependencies, options: UpkeepOptions): Upkeep {
  const { backends, clock, emit, fleet } = dependencies;
  let { placement, timeouts } = options;
  const observe = fleet.observe.bind(fleet);
  const perform = createPerform({
    client: (id) => backends.client(id),
    refresh: (ids) => backends.refresh(ids, 'resident'),
    clock,
    observe,
    loadTimeout: () => timeouts.firstByte,
  });
  const wedges = createWedgeWatch(
    {
      clock,
      emit,
      observe,
      isUp: (id) => fleet.view().some((view) => view.id === id && isInUse(view)),
      hasOther: (job, than) => ['free', 'full'].includes(fleet.outlook(job, [than])),
      unload: (backend, model, ended) =>
        perform({ kind: 'unload', backend, model, runnerOptions: '', task: 'generate' }, ended),
    },
    options.wedge,
  );
  const pull = createPull({
    client: (id) => backends.client(id),
    refresh: (id) => backends.refresh([id], 'installed'),
    silence: () => placement.silence,
  });
  const required = createRequired({ fleet, clock, emit, pull }, options.models.required);
  return {
    perform,
    wakes: createWakes({ fleet, clock, emit, send: dependencies.send ?? sendWake }),
    wedges,
    required,
    setOptions(next) {
      ({ placement, timeouts } = next);
      wedges.setOptions(next.wedge);
      required.setOptions(next.models.required);
    },
    close() {
      wedges.close();
      required.close();
    },
  };
}
