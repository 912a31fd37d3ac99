/**
 * Models that have to be installed on so many backends. Says which are missing, and, where that is wanted, has them pulled: one
 * pull at a time on each backend, where the most room is, and after a failure with growing pauses.
 */
import { Type, type Static } from 'typebox';
import type { Emit } from './events.ts';
import type { BackendView, Fleet } from './fleet.ts';
import { canonicalModelName } from './model-name.ts';
import { holdersOf, pullTargets } from './placement.ts';
import type { BackendId, Clock, Millis, ModelName, Timer } from './types.ts';

export const RequiredOptions = Type.Record(
  Type.String(),
  Type.Object(
    {
      backends: Type.Integer({ description: 'Backends that have to have it.', minimum: 1, maximum: 1000, default: 1 }),
      pull: Type.Boolean({
        description:
          'Pull it where it is missing, on the backend with the most room that may have it. Gigabytes may move without anybody asking.',
        default: false,
      }),
    },
    { additionalProperties: false, description: 'One model that has to be there.' },
  ),
  {
    description:
      'Models that have to be installed, by name, e.g. `{"llama3.2:3b": {backends: 2, pull: true}}`. One that is on too few backends ' +
      'is logged and in the metrics.',
    default: {},
  },
);
export type RequiredOptions = Static<typeof RequiredOptions>;

/** Pulls a model and calls back once: null when it is there and the fleet knows, else what was in the way. */
export type Pull = (backend: BackendId, model: ModelName, ended: (error: string | null) => void) => void;

export interface RequiredDependencies {
  readonly fleet: Pick<Fleet, 'revision' | 'subscribe' | 'view'>;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly pull: Pull;
}

/** How one required model stands. */
export interface RequiredModel {
  readonly model: ModelName;
  readonly wanted: number;
  /** Backends that have it, whether they are up or not. */
  readonly holders: readonly BackendId[];
  readonly pulling: readonly BackendId[];
}

export interface RequiredWatch {
  view(): readonly RequiredModel[];
  setOptions(options: RequiredOptions): void;
  /** Cancels its timer; pulls that run go on by themselves. */
  close(): void;
}

/** After a failed pull of a model on a backend; doubled with each further one. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;

export function createRequired(dependencies: RequiredDependencies, options: RequiredOptions): RequiredWatch {
  return new Watch(dependencies, options);
}

interface Rule {
  readonly model: ModelName;
  readonly wanted: number;
  readonly pulls: boolean;
}

/** A model on one backend where pulling it has failed. */
interface Setback {
  readonly failures: number;
  readonly until: Millis;
}

class Watch implements RequiredWatch {
  readonly #dependencies: RequiredDependencies;
  readonly #unsubscribe: () => void;
  #rules: readonly Rule[];
  /** The model each backend is pulling. */
  readonly #pulling = new Map<BackendId, ModelName>();
  readonly #setbacks = new Map<string, Setback>();
  /** What was last told of each model that is on too few backends. */
  readonly #told = new Map<ModelName, number>();
  #timer: Timer | null = null;
  #seen = '';
  #closed = false;

  constructor(dependencies: RequiredDependencies, options: RequiredOptions) {
    this.#dependencies = dependencies;
    this.#rules = rulesOf(options);
    this.#unsubscribe = dependencies.fleet.subscribe(() => {
      const { inventory, use } = dependencies.fleet.revision;
      const seen = `${inventory} ${use}`;
      if (this.#rules.length === 0 || seen === this.#seen) return;
      this.#seen = seen;
      this.#look();
    });
  }

  view(): readonly RequiredModel[] {
    const fleet = this.#dependencies.fleet.view();
    return this.#rules.map(({ model, wanted }) => {
      const pulling = [...this.#pulling].flatMap(([id, pulled]) => (pulled === model ? [id] : []));
      return { model, wanted, holders: holdersOf(model, fleet).map(({ id }) => id), pulling };
    });
  }

  setOptions(options: RequiredOptions): void {
    this.#rules = rulesOf(options);
    for (const model of this.#told.keys()) {
      if (!this.#rules.some((rule) => rule.model === model)) this.#told.delete(model);
    }
    this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe();
    this.#timer?.cancel();
  }

  #look(): void {
    if (this.#closed) return;
    const fleet = this.#dependencies.fleet.view();
    // Before every inventory is known, a model that seems to be missing may be there.
    if (fleet.length === 0 || fleet.some(({ installed, state }) => installed === null && state !== 'down')) return;
    for (const rule of this.#rules) this.#see(rule, fleet);
    this.#arm();
  }

  #see({ model, pulls, wanted }: Rule, fleet: readonly BackendView[]): void {
    const have = holdersOf(model, fleet).length;
    if (have < wanted !== this.#told.has(model) || (have < wanted && this.#told.get(model) !== have)) {
      if (have < wanted) this.#told.set(model, have);
      else this.#told.delete(model);
      this.#dependencies.emit({ kind: 'model-required', model, wanted, have });
    }
    if (!pulls) return;
    const now = this.#dependencies.clock.now();
    const coming = [...this.#pulling.values()].filter((pulled) => pulled === model).length;
    const targets = pullTargets(model, fleet).filter((id) => {
      return !this.#pulling.has(id) && now >= (this.#setbacks.get(keyOf(id, model))?.until ?? 0);
    });
    for (const id of targets.slice(0, Math.max(0, wanted - have - coming))) this.#pull(id, model);
  }

  #pull(backend: BackendId, model: ModelName): void {
    const { clock, emit, pull } = this.#dependencies;
    this.#pulling.set(backend, model);
    emit({ kind: 'model-pull', backend, model, state: 'begun', reason: '' });
    pull(backend, model, (error) => {
      this.#pulling.delete(backend);
      const key = keyOf(backend, model);
      if (error === null) this.#setbacks.delete(key);
      else {
        const failures = (this.#setbacks.get(key)?.failures ?? 0) + 1;
        const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 10));
        this.#setbacks.set(key, { failures, until: clock.now() + pauseMs });
      }
      emit({ kind: 'model-pull', backend, model, state: error === null ? 'done' : 'failed', reason: error ?? '' });
      this.#look();
    });
  }

  /** The end of a pause is no event. */
  #arm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const now = this.#dependencies.clock.now();
    const next = Math.min(...[...this.#setbacks.values()].map(({ until }) => until).filter((until) => until > now));
    if (next === Infinity) return;
    this.#timer = this.#dependencies.clock.after(next - now, () => this.#look());
  }
}

function rulesOf(options: RequiredOptions): Rule[] {
  return Object.entries(options).map(([name, { backends, pull }]) => {
    return { model: canonicalModelName(name) ?? name, wanted: backends, pulls: pull };
  });
}

function keyOf(backend: BackendId, model: ModelName): string {
  return `${backend}\t${model}`;
}
