/**
 * What the gateway knows of every runner: whether it is in memory, who uses it, how fast it is. All of it is learnt from
 * answers the clients wanted anyway and from `/api/ps`; nothing is probed for.
 */
import type { BackendSpec } from '../backend.ts';
import { createPrefixCache, type PrefixCache } from '../prefix-cache.ts';
import type { BackendId, Job, Millis, ModelName, PrefixMark, ResidentModel, RunnerKey, Usage } from '../types.ts';
import { LearntMean } from './learnt.ts';
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
  /** Its last load failed then; null when it did not. */
  failedAt: Millis | null;
  readonly slots: SlotEstimate;
  /** How long a slot is held. */
  readonly holdMs: LearntMean;
  readonly loadMs: LearntMean;
  /** Memory in bytes, as `/api/ps` told it; null until then. */
  sizeBytes: number | null;
}

export interface BackendState {
  readonly id: BackendId;
  readonly runners: Map<RunnerKey, RunnerState>;
  /** Prompt tokens per second, of one request alone. */
  readonly prefill: LearntMean;
  /** Prompts its runners are thought to remember. */
  readonly prompts: PrefixCache;
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

/** What is expected where nothing has been learnt. */
const assumed = { loadMs: 15_000, holdMs: 5000, prefillPerSecond: 1000, prefillFixedMs: 20 } as const;

/** What changed less than this ago is believed, whatever `/api/ps` says: its list may be older. */
const GRACE_MS = 3000;

/** Rows of runners that are not in memory, per backend; the least recently used are forgotten first. */
const REMEMBERED = 1000;

export function runnerKey(model: ModelName, options: string): RunnerKey {
  return options === '' ? model : `${model}\t${options}`;
}

export class Knowledge {
  readonly #promptsPerBackend: number;
  readonly #backends = new Map<BackendId, BackendState>();
  readonly #load = new LearntMean();
  readonly #hold = new LearntMean();
  readonly #prefill = new LearntMean();

  constructor(promptsPerBackend: number) {
    this.#promptsPerBackend = promptsPerBackend;
  }

  backend(id: BackendId): BackendState {
    let state = this.#backends.get(id);
    if (state === undefined) {
      state = {
        id,
        runners: new Map(),
        prefill: new LearntMean(),
        prompts: createPrefixCache(this.#promptsPerBackend),
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
    }
    return state;
  }

  get backends(): Iterable<BackendState> {
    return this.#backends.values();
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
        failedAt: null,
        slots: new SlotEstimate(),
        holdMs: new LearntMean(),
        loadMs: new LearntMean(0.3),
        sizeBytes: null,
      };
      state.runners.set(key, runner);
    }
    return runner;
  }

  setPhase(runner: RunnerState, phase: Phase, now: Millis): void {
    if (runner.phase === phase) return;
    runner.phase = phase;
    runner.since = now;
    if (phase !== 'absent') return;
    runner.wentAt = now;
    runner.backend.prompts.drop(runner.key);
  }

  configure(spec: BackendSpec): void {
    const state = this.backend(spec.id);
    state.parallel = spec.parallel ?? null;
    state.places = spec.places ?? null;
    state.memoryBytes = spec.memory ?? null;
    state.tier = spec.tier ?? 1;
    state.capped = spec.slots !== 'auto';
  }

  /** Of a backend that is no longer configured. */
  forget(id: BackendId): void {
    this.#backends.delete(id);
  }

  // What is expected, from the nearest that was learnt.

  /** Requests to send a runner at most. */
  limit(runner: RunnerState, now: Millis): number {
    return runner.backend.parallel ?? runner.slots.limit(now);
  }

  expectedLoadMs(runner: RunnerState | undefined): Millis {
    return runner?.loadMs.value ?? this.#load.value ?? assumed.loadMs;
  }

  expectedHoldMs(runner: RunnerState | undefined): Millis {
    return runner?.holdMs.value ?? this.#hold.value ?? assumed.holdMs;
  }

  /** Of so many prompt tokens that are not cached, beside so many other requests in the runner. */
  expectedPrefillMs(backend: BackendState, tokens: number, others: number): Millis {
    const perSecond = backend.prefill.value ?? this.#prefill.value ?? assumed.prefillPerSecond;
    return (assumed.prefillFixedMs + (tokens * 1000) / perSecond) * crowding(others);
  }

  cachedTokens(runner: RunnerState, job: Job): number {
    return Math.min(job.promptTokens, runner.backend.prompts.peek(runner.key, marksOf(job)));
  }

  // What is learnt.

  /** The runner has got this prompt and will remember it. */
  remember(runner: RunnerState, job: Job): void {
    runner.backend.prompts.store(runner.key, marksOf(job));
  }

  loaded(runner: RunnerState, loadMs: Millis): void {
    runner.loadMs.add(loadMs);
    this.#load.add(loadMs);
  }

  held(runner: RunnerState, heldMs: Millis): void {
    runner.holdMs.add(heldMs);
    this.#hold.add(heldMs);
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

  /** The whole of a backend's `/api/ps`, told `at`; null while it has told none. Returns whether that changed a belief. */
  observe(id: BackendId, models: readonly ResidentModel[] | null, at: Millis): boolean {
    const backend = this.backend(id);
    if (models === null || models === backend.told) return false;
    backend.told = models;
    const listed = new Map(models.map((model) => [model.name, model]));
    let changed = false;
    for (const runner of backend.runners.values()) {
      if (!isInMemory(runner)) continue;
      const seen = listed.get(runner.model);
      if (seen !== undefined) runner.sizeBytes = seen.sizeBytes;
      else if (runner.inFlight === 0 && at - runner.since >= GRACE_MS) {
        noteEviction(backend, runner, at);
        this.setPhase(runner, 'absent', at);
        changed = true;
      }
    }
    for (const { name, sizeBytes } of models) {
      if (isKnownThere(backend, name)) continue;
      const runner = this.runner(id, { model: name, runnerOptions: '' }, at);
      if (runner.wentAt !== null && at - runner.wentAt < GRACE_MS) continue;
      this.setPhase(runner, 'ready', at);
      runner.sizeBytes = sizeBytes;
      changed = true;
    }
    const held = inMemory(backend);
    if (backend.seenFull !== null && held > backend.seenFull) backend.seenFull = held;
    return changed;
  }
}

/** Shorter prompts tell more of fixed costs than of speed. */
const TELLING_TOKENS = 200;

export function isInMemory({ phase }: RunnerState): boolean {
  return phase === 'ready' || phase === 'draining';
}

/** How many times slower a request is beside so many others in its runner: batches share the work of reading the weights. */
export function crowding(others: number): number {
  return (others + 1) ** 0.45;
}

/** Runners in memory or on their way there. */
export function inMemory(backend: BackendState): number {
  let count = 0;
  for (const { phase } of backend.runners.values()) if (phase !== 'absent') count += 1;
  return count;
}

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
  for (const runner of backend.runners.values()) {
    if (runner !== gone && runner.phase !== 'absent') newest = Math.max(newest, runner.since);
  }
  if (newest > gone.lastUsed && now - newest < EVICTION_WINDOW_MS) backend.seenFull = inMemory(backend) - 1;
}

/** `/api/ps` is read every few seconds; an eviction is seen at most this long after the load that caused it ended. */
const EVICTION_WINDOW_MS = 30_000;

function isKnownThere(backend: BackendState, model: ModelName): boolean {
  for (const runner of backend.runners.values()) if (runner.model === model && runner.phase !== 'absent') return true;
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
