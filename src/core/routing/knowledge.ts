/**
 * What the gateway knows of every runner: whether it is in memory, who uses it, how fast it is. All of it is learnt from
 * answers the clients wanted anyway and from `/api/ps`; nothing is probed for.
 */
import { Type, type Static } from 'typebox';
import type { BackendSpec } from '../backend.ts';
import type { BackendId, Job, Millis, ModelName, PrefixMark, ResidentModel, RunnerKey, Usage } from '../types.ts';
import { LearntMean } from './learnt.ts';
import { Prompts } from './prompts.ts';
import { SlotEstimate } from './slots.ts';

/** `absent`: not in memory. `loading`: on its way. `ready`: serves. `draining`: serves nobody new, and goes when idle. */
export type Phase = 'absent' | 'loading' | 'ready' | 'draining';

/** One model with one set of runner options on one backend. */
export interface RunnerState {
  readonly backend: BackendState;
  readonly key: RunnerKey;
  readonly model: ModelName;
  readonly options: string;
  phase: Phase;
  /** When the phase began. */
  since: Millis;
  /** When it last went from memory; null when it never was there. */
  wentAt: Millis | null;
  inFlight: number;
  lastUsed: Millis;
  /** Leases that have ended. */
  ended: number;
  /** Its last load failed then; null when it did not. */
  failedAt: Millis | null;
  readonly slots: SlotEstimate;
  /** It has been asked for embeddings; Ollama gives such models one slot, whatever it gives others. */
  embeds: boolean;
  /** How long a slot is held. */
  readonly holdMs: LearntMean;
  readonly loadMs: LearntMean;
  /** Memory in bytes and context in tokens, as `/api/ps` told it; null until then. */
  sizeBytes: number | null;
  contextLength: number | null;
}

/** What is kept over a restart. Times in ms, rates per second. Whoever reads it from outside checks it. */
export const Learnt = Type.Object({
  version: Type.Literal(1),
  backends: Type.Array(
    Type.Object({
      id: Type.String(),
      prefillPerSecond: Type.Union([Type.Number({ exclusiveMinimum: 0 }), Type.Null()]),
      runners: Type.Array(
        Type.Object({
          model: Type.String(),
          options: Type.String(),
          holdMs: Type.Union([Type.Number({ minimum: 0 }), Type.Null()]),
          loadMs: Type.Union([Type.Number({ minimum: 0 }), Type.Null()]),
          slots: Type.Integer({ minimum: 1 }),
          /** More had to wait; told, and not kept over a restart. */
          slotsAtMost: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
        }),
      ),
    }),
  ),
});
export type Learnt = Static<typeof Learnt>;
type LearntBackend = Learnt['backends'][number];

export interface BackendState {
  readonly id: BackendId;
  readonly runners: Map<RunnerKey, RunnerState>;
  /** Those in memory or on their way there. */
  readonly held: Set<RunnerState>;
  /** Counts up when anything changes about them. */
  revision: number;
  /** Prompt tokens per second, of one request alone. */
  readonly prefill: LearntMean;
  /** Leases of its runners. */
  inFlight: number;
  weight: number;
  /** The last `/api/ps` that was taken in; null while it has told none. */
  told: readonly ResidentModel[] | null;
  /** From the specification; null where the operator says nothing. */
  parallel: number | null;
  places: number | null;
  memoryBytes: number | null;
  tier: number;
  /** Whether it serves at the moment. */
  usable: boolean;
  /** Whether the operator limits what it may hold in all. */
  capped: boolean;
  /** So many runners it was seen to hold, and no more; null while it never made room by itself. */
  seenFull: number | null;
}

const none: ReadonlySet<RunnerState> = new Set();

/** What is expected where nothing has been learnt. */
const assumed = { loadMs: 15_000, holdMs: 5000, prefillPerSecond: 1000, prefillFixedMs: 20 } as const;

/** What changed less than this ago is believed, whatever `/api/ps` says: its list may be older. */
const GRACE_MS = 3000;

/** Rows of runners that are not in memory, per backend; the least recently used are forgotten first. */
const REMEMBERED = 1000;

/** Runners that are kept over a restart, of all backends: a few megabytes. */
const SAVED = 10_000;

export function runnerKey(model: ModelName, options: string): RunnerKey {
  return options === '' ? model : `${model}\t${options}`;
}

export class Knowledge {
  readonly #prompts: Prompts;
  readonly #backends = new Map<BackendId, BackendState>();
  /** The same runners as in each backend's `held`, by key. */
  readonly #held = new Map<RunnerKey, Set<RunnerState>>();
  /** Backends that have not yet told what they have in memory. */
  readonly #untold = new Set<BackendState>();
  readonly #load = new LearntMean();
  /** Of each model, wherever it was loaded; the one loaded least recently is forgotten first. */
  readonly #loadOf = new Map<ModelName, LearntMean>();
  readonly #slotHeld = new LearntMean();
  readonly #prefill = new LearntMean();

  constructor(promptsPerBackend: number) {
    this.#prompts = new Prompts(promptsPerBackend);
  }

  backend(id: BackendId): BackendState {
    let state = this.#backends.get(id);
    if (state === undefined) {
      state = {
        id,
        runners: new Map(),
        held: new Set(),
        revision: 0,
        prefill: new LearntMean(),
        inFlight: 0,
        weight: 1,
        told: null,
        parallel: null,
        places: null,
        memoryBytes: null,
        tier: 1,
        usable: true,
        capped: false,
        seenFull: null,
      };
      this.#backends.set(id, state);
      this.#untold.add(state);
    }
    return state;
  }

  get backends(): Iterable<BackendState> {
    return this.#backends.values();
  }

  /** Backends. */
  get size(): number {
    return this.#backends.size;
  }

  get untold(): Iterable<BackendState> {
    return this.#untold;
  }

  /** Where a runner is in memory or on its way there. */
  held(key: RunnerKey): Iterable<RunnerState> {
    return this.#held.get(key) ?? none;
  }

  /** Where runners are that serve the job as it is, in memory or on their way there. */
  *serving({ model, runnerOptions }: Pick<Job, 'model' | 'runnerOptions'>): Iterable<RunnerState> {
    const name = model ?? '';
    yield* this.held(runnerKey(name, runnerOptions));
    if (!CONTEXT_ONLY.test(runnerOptions)) return;
    for (const runner of this.held(name)) if (hasContext(runner, runnerOptions)) yield runner;
  }

  /** The runner that would serve the job on a backend: one that is there, or the row of its own. */
  servingOn(id: BackendId, job: Pick<Job, 'model' | 'runnerOptions'>, now: Millis): RunnerState {
    for (const runner of this.serving(job)) if (runner.backend.id === id) return runner;
    return this.runner(id, job, now);
  }

  /** The row of the runner a job wants, made when there is none. */
  runner(backend: BackendId, job: Pick<Job, 'model' | 'runnerOptions'>, now: Millis): RunnerState {
    const state = this.backend(backend);
    const model = job.model ?? '';
    const key = runnerKey(model, job.runnerOptions);
    let runner = state.runners.get(key);
    if (runner === undefined) {
      if (state.runners.size >= REMEMBERED) forgetOne(state);
      runner = {
        backend: state,
        key,
        model,
        options: job.runnerOptions,
        phase: 'absent',
        since: now,
        wentAt: null,
        inFlight: 0,
        lastUsed: now,
        ended: 0,
        failedAt: null,
        slots: expectedSlots(state),
        embeds: false,
        holdMs: new LearntMean(),
        loadMs: new LearntMean(0.3),
        sizeBytes: null,
        contextLength: null,
      };
      state.runners.set(key, runner);
    }
    return runner;
  }

  setPhase(runner: RunnerState, phase: Phase, now: Millis): void {
    if (runner.phase === phase) return;
    const wasHeld = runner.phase !== 'absent';
    runner.phase = phase;
    runner.since = now;
    runner.backend.revision += 1;
    if (!wasHeld) this.#hold(runner);
    if (phase !== 'absent') return;
    this.#release(runner);
    runner.wentAt = now;
    runner.contextLength = null;
    this.#prompts.drop(runner);
  }

  #hold(runner: RunnerState): void {
    runner.backend.held.add(runner);
    const others = this.#held.get(runner.key);
    if (others === undefined) this.#held.set(runner.key, new Set([runner]));
    else others.add(runner);
  }

  #release(runner: RunnerState): void {
    runner.backend.held.delete(runner);
    const others = this.#held.get(runner.key);
    others?.delete(runner);
    if (others?.size === 0) this.#held.delete(runner.key);
  }

  configure(spec: BackendSpec): void {
    const state = this.backend(spec.id);
    state.parallel = spec.parallel ?? null;
    state.places = spec.places ?? null;
    state.memoryBytes = spec.memory ?? null;
    state.tier = spec.tier ?? 1;
    state.weight = spec.weight;
    state.capped = spec.slots !== 'auto';
  }

  /** Of a backend that is no longer configured. */
  forget(id: BackendId): void {
    const state = this.#backends.get(id);
    if (state === undefined) return;
    for (const runner of state.held) {
      this.#release(runner);
      this.#prompts.drop(runner);
    }
    this.#backends.delete(id);
    this.#untold.delete(state);
  }

  // What is expected, from the nearest that was learnt.

  /** Requests to send a runner at most. */
  limit(runner: RunnerState, now: Millis): number {
    return runner.backend.parallel ?? runner.slots.limit(now);
  }

  /** On the runner's backend; without a runner, anywhere. */
  expectedLoadMs(model: ModelName, runner?: RunnerState): Millis {
    return runner?.loadMs.value ?? this.#loadOf.get(model)?.value ?? this.#load.value ?? assumed.loadMs;
  }

  expectedHoldMs(runner: RunnerState | undefined): Millis {
    return runner?.holdMs.value ?? this.#slotHeld.value ?? assumed.holdMs;
  }

  /** Of so many prompt tokens that are not cached, beside so many other requests in the runner. */
  expectedPrefillMs(backend: BackendState, tokens: number, others: number): Millis {
    const perSecond = backend.prefill.value ?? this.#prefill.value ?? assumed.prefillPerSecond;
    return (assumed.prefillFixedMs + (tokens * 1000) / perSecond) * crowding(others);
  }

  /** Tokens of the job's prompt that runners are thought to remember; those that remember none are absent. */
  remembered(job: Job): ReadonlyMap<RunnerState, number> {
    return this.#prompts.remembered(marksOf(job));
  }

  // What is learnt.

  /** The runner has got this prompt and will remember it. */
  remember(runner: RunnerState, job: Job): void {
    this.#prompts.add(runner, marksOf(job));
  }

  loaded(runner: RunnerState, loadMs: Millis): void {
    runner.loadMs.add(loadMs);
    this.#load.add(loadMs);
    const ofModel = this.#loadOf.get(runner.model) ?? new LearntMean(0.3);
    ofModel.add(loadMs);
    this.#loadOf.delete(runner.model);
    this.#loadOf.set(runner.model, ofModel);
    const oldest = this.#loadOf.keys().next();
    if (this.#loadOf.size > REMEMBERED && oldest.done !== true) this.#loadOf.delete(oldest.value);
  }

  slotHeld(runner: RunnerState, heldMs: Millis): void {
    runner.holdMs.add(heldMs);
    this.#slotHeld.add(heldMs);
  }

  /** From an answer whose prompt was not cached, and that began as one of `active` in its runner. */
  processed(backend: BackendState, { promptTokens, promptMs }: Usage, active: number): void {
    if (promptTokens === undefined || promptMs === undefined || promptTokens < TELLING_TOKENS) return;
    const aloneMs = promptMs / crowding(active - 1) - assumed.prefillFixedMs;
    if (aloneMs <= 0) return;
    const perSecond = (promptTokens * 1000) / aloneMs;
    backend.prefill.add(perSecond);
    this.#prefill.add(perSecond);
  }

  /** What is worth keeping over a restart. What is in memory is not: it is told again. */
  learnt(): Learnt {
    const most = Math.ceil(SAVED / Math.max(1, this.#backends.size));
    const backends = [...this.#backends.values()].map(({ id, prefill, runners }): LearntBackend => {
      const known = [...runners.values()]
        .filter(({ holdMs, loadMs }) => holdMs.value !== null || loadMs.value !== null)
        .sort((a, b) => b.lastUsed - a.lastUsed);
      return {
        id,
        prefillPerSecond: prefill.value,
        runners: known.slice(0, most).map(({ model, options, holdMs, loadMs, slots }) => {
          return {
            model,
            options,
            holdMs: holdMs.value,
            loadMs: loadMs.value,
            slots: slots.proven,
            slotsAtMost: slots.most,
          };
        }),
      };
    });
    return { version: 1, backends };
  }

  /** Takes up what was learnt before. It has passed the schema. */
  restore(learnt: Learnt, now: Millis): void {
    for (const { id, prefillPerSecond, runners } of learnt.backends) {
      const { prefill } = this.backend(id);
      for (const mean of [prefill, this.#prefill]) mean.take(prefillPerSecond);
      for (const { model, options, holdMs, loadMs, slots } of runners) {
        const runner = this.runner(id, { model, runnerOptions: options }, now);
        if (loadMs !== null) this.loaded(runner, loadMs);
        if (holdMs !== null) this.slotHeld(runner, holdMs);
        runner.slots.restore(slots);
      }
    }
  }

  /** The whole of a backend's `/api/ps`, told `at`; null while it has told none. Returns whether that changed a belief. */
  observe(id: BackendId, models: readonly ResidentModel[] | null, at: Millis): boolean {
    const backend = this.backend(id);
    if (models === null || models === backend.told) return false;
    backend.told = models;
    this.#untold.delete(backend);
    const listed = new Map(models.map((model) => [model.name, model]));
    let changed = false;
    for (const runner of backend.held) {
      if (runner.phase === 'loading') continue;
      const seen = listed.get(runner.model);
      if (seen !== undefined) noteListed(runner, seen);
      else if (runner.inFlight === 0 && at - runner.since >= GRACE_MS) {
        noteEviction(backend, runner, at);
        this.setPhase(runner, 'absent', at);
        changed = true;
      }
    }
    for (const model of models) {
      if (isKnownThere(backend, model.name)) continue;
      const runner = this.runner(id, { model: model.name, runnerOptions: '' }, at);
      if (runner.wentAt !== null && at - runner.wentAt < GRACE_MS) continue;
      this.setPhase(runner, 'ready', at);
      noteListed(runner, model);
      changed = true;
    }
    const { size } = backend.held;
    if (backend.seenFull !== null && size > backend.seenFull) backend.seenFull = size;
    return changed;
  }
}

/** Options that ask for nothing but a context length. */
const CONTEXT_ONLY = /^num_ctx=\d+$/;

/**
 * A runner that was loaded without options serves whoever asks for just the context it happens to have (ollama-wire §2.3). What a
 * backend had in memory before the gateway came is taken for such a one.
 */
export function hasContext({ options, contextLength }: RunnerState, runnerOptions: string): boolean {
  return options === '' && contextLength !== null && runnerOptions === `num_ctx=${contextLength}`;
}

function noteListed(runner: RunnerState, { sizeBytes, contextLength }: ResidentModel): void {
  runner.sizeBytes = sizeBytes;
  runner.contextLength = contextLength;
}

/** Shorter prompts tell more of fixed costs than of speed. */
const TELLING_TOKENS = 200;

/** How many times slower a request is beside so many others in its runner: batches share the work of reading the weights. */
export function crowding(others: number): number {
  return crowds[others] ?? (others + 1) ** 0.45;
}

/** Worked out once: it is asked for at every decision, about every backend. */
const crowds = Array.from({ length: 64 }, (_, others) => (others + 1) ** 0.45);

/** Runners it holds at most, as configured or as seen; Infinity while nothing tells. */
export function placesOf({ places, seenFull }: BackendState): number {
  return places ?? seenFull ?? Infinity;
}

/**
 * A runner that went without our doing while another one came made room for it, so the backend holds no more than are left. One
 * that went alone had been idle for its keep_alive.
 */
function noteEviction(backend: BackendState, gone: RunnerState, now: Millis): void {
  let newest = 0;
  for (const runner of backend.held) if (runner !== gone) newest = Math.max(newest, runner.since);
  if (newest > gone.lastUsed && now - newest < EVICTION_WINDOW_MS) backend.seenFull = backend.held.size - 1;
}

/** `/api/ps` is read every few seconds; an eviction is seen at most this long after the load that caused it ended. */
const EVICTION_WINDOW_MS = 30_000;

/** Of a runner that is new: as of the one that has shown the most of those that have shown all they can. */
function expectedSlots({ runners }: BackendState): SlotEstimate {
  const slots = new SlotEstimate();
  for (const other of runners.values()) {
    if (!other.embeds && other.slots.isKnown && other.slots.proven >= slots.proven) slots.expect(other.slots);
  }
  return slots;
}

function isKnownThere(backend: BackendState, model: ModelName): boolean {
  for (const runner of backend.held) if (runner.model === model) return true;
  return false;
}

/** A session key stands for its whole last prompt, where no message boundary is known. */
function marksOf({ prefix, session, promptTokens }: Job): readonly PrefixMark[] {
  return session === null || prefix.length > 0 ? prefix : [{ hash: `session ${session}`, tokens: promptTokens }];
}

function forgetOne(backend: BackendState): void {
  for (const [key, { phase, inFlight }] of backend.runners) {
    if (phase !== 'absent' || inFlight > 0) continue;
    backend.runners.delete(key);
    return;
  }
}
