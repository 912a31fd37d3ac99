/**
 * One Ollama's scheduler (`server/sched.go`) as a pure model: which runner serves a request, what has to be loaded and evicted for
 * it, and how fast it then runs. Clock and luck are handed in, so a discrete-event simulation and an HTTP server can share it.
 */
import type { Clock, Millis, Rng, Timer } from '../core/types.ts';
import { createPrefixCache, type PrefixCache } from '../core/prefix-cache.ts';
import { Runner, type RunnerSnapshot } from './runner.ts';
import {
  schedulerDefaults,
  type RequestCallbacks,
  type RequestHandle,
  type RunnerOptions,
  type SchedulerOptions,
  type SchedulerRequest,
  type SimulatedModel,
} from './scheduler-types.ts';

export interface OllamaScheduler {
  /** The callbacks may run before this returns. */
  submit(request: SchedulerRequest, callbacks: RequestCallbacks): RequestHandle;
  /** What `keep_alive: 0` with an empty prompt does: the runner ends once idle, at once if it is. False when not loaded. */
  unload(model: SimulatedModel): boolean;
  /** What `/api/ps` shows. A model being loaded is not in it. */
  resident(): readonly ResidentRunner[];
  snapshot(): SchedulerSnapshot;
  /** The runner's process dies; its requests fail with `crashed`. False when not loaded. */
  crash(model: SimulatedModel): boolean;
  /** The runner's process stops answering (ollama-wire 2.5.4). False when not loaded. */
  hang(model: SimulatedModel): boolean;
  /** The server dies: its timers are cancelled and nothing is called back any more. */
  close(): void;
}

export interface ResidentRunner extends RunnerSnapshot {
  /** The alias that loaded it. */
  readonly model: SimulatedModel;
  readonly contextLength: number;
  /** Weights and KV cache. */
  readonly sizeBytes: number;
  /** When it ends unless used; not renewed while busy, as in Ollama. Infinity for never. */
  readonly expiresAt: Millis;
  /** Whether any request holds it, be it in a slot or in its queue. */
  readonly busy: boolean;
}

export interface SchedulerSnapshot {
  /** Requests that wait for the loader, without the one it is busy with. */
  readonly pending: number;
  readonly loader: LoaderState;
  readonly runners: readonly ResidentRunner[];
  readonly loadsStarted: number;
  readonly loadsFinished: number;
  readonly loadsAborted: number;
  /** Loads of a model that had been in memory with other options less than a minute before. */
  readonly reloads: number;
  readonly evictions: number;
  readonly expirations: number;
}

/** `evicting` waits for a runner to end, `pinging` for one that does not answer. */
export type LoaderState = 'idle' | 'loading' | 'evicting' | 'pinging';

interface Loaded {
  readonly model: SimulatedModel;
  readonly shape: string;
  readonly autoContext: boolean;
  readonly contextLength: number;
  readonly sizeBytes: number;
  readonly runner: Runner;
  state: 'loading' | 'ready' | 'ending';
  /** Requests that hold it: in a slot or waiting for one. */
  references: number;
  /** What it lives for once idle; the first key of the eviction order. */
  sessionMs: Millis;
  expiresAt: Millis;
  timer: Timer | null;
}

interface Ticket {
  readonly request: SchedulerRequest;
  readonly callbacks: RequestCallbacks;
  readonly arrivedAt: Millis;
  cancelled: boolean;
  paused: boolean;
  /** Set once it holds a runner. */
  handle: RequestHandle | null;
  /** How often its runner was found not to answer. */
  pings: number;
}

/** How long Ollama waits for a runner that does not answer its ping. */
const PING_MS = 10_000;

const RELOAD_WINDOW_MS = 60_000;

/** Told of what happens to runners, as it happens. */
export type SchedulerWatch = (kind: SchedulerEventKind, model: SimulatedModel) => void;

export type SchedulerEventKind = 'load-started' | 'load-finished' | 'load-aborted' | 'evicted' | 'expired';

/** `overrides` replace fields of `schedulerDefaults`. */
export function createOllamaScheduler(
  overrides: Partial<SchedulerOptions>,
  clock: Clock,
  rng: Rng,
  watch: SchedulerWatch = () => undefined,
): OllamaScheduler {
  return new Scheduler({ ...schedulerDefaults, ...overrides }, clock, rng, watch);
}

class Scheduler implements OllamaScheduler {
  readonly #options: SchedulerOptions;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #watch: SchedulerWatch;
  readonly #cache: PrefixCache;
  /** By blob. */
  readonly #loaded = new Map<string, Loaded>();
  /** The channel: a request that left stays in it until the loader takes it out. */
  readonly #pending: Ticket[] = [];
  /** What was last in memory of a blob, and until when. */
  readonly #ended = new Map<string, { readonly shape: string; readonly contextLength: number; readonly at: Millis }>();
  /** What the loader is busy with; one at a time, and everything behind it waits. */
  #current: Ticket | null = null;
  #loader: LoaderState = 'idle';
  #lives = 0;
  #closed = false;
  #counts = { loadsStarted: 0, loadsFinished: 0, loadsAborted: 0, reloads: 0, evictions: 0, expirations: 0 };

  constructor(options: SchedulerOptions, clock: Clock, rng: Rng, watch: SchedulerWatch) {
    this.#options = options;
    this.#clock = clock;
    this.#rng = rng;
    this.#watch = watch;
    this.#cache = createPrefixCache(options.cachedPrompts);
  }

  submit(request: SchedulerRequest, callbacks: RequestCallbacks): RequestHandle {
    const ticket: Ticket = {
      request,
      callbacks,
      arrivedAt: this.#clock.now(),
      cancelled: false,
      paused: false,
      handle: null,
      pings: 0,
    };
    this.#admit(ticket);
    return {
      cancel: () => this.#cancel(ticket),
      pause: () => {
        ticket.paused = true;
        ticket.handle?.pause();
      },
      resume: () => {
        ticket.paused = false;
        ticket.handle?.resume();
      },
    };
  }

  unload(model: SimulatedModel): boolean {
    const entry = this.#ready(model);
    if (entry === null) return false;
    entry.sessionMs = 0;
    if (entry.references === 0) this.#end(entry);
    return true;
  }

  resident(): readonly ResidentRunner[] {
    return [...this.#loaded.values()]
      .filter((entry) => entry.state !== 'loading')
      .map(({ model, contextLength, sizeBytes, expiresAt, references, runner }) => ({
        ...runner.snapshot(),
        model,
        contextLength,
        sizeBytes,
        expiresAt,
        busy: references > 0,
      }));
  }

  snapshot(): SchedulerSnapshot {
    return { pending: this.#pending.length, loader: this.#loader, runners: this.resident(), ...this.#counts };
  }

  crash(model: SimulatedModel): boolean {
    const entry = this.#ready(model);
    if (entry === null) return false;
    entry.state = 'ending';
    entry.timer?.cancel();
    this.#removed(entry);
    return true;
  }

  hang(model: SimulatedModel): boolean {
    const entry = this.#ready(model);
    entry?.runner.hang();
    return entry !== null;
  }

  close(): void {
    this.#closed = true;
    this.#pending.length = 0;
    for (const entry of this.#loaded.values()) {
      entry.timer?.cancel();
      entry.runner.close();
    }
    this.#loaded.clear();
  }

  // The fast path: a loaded runner with equal options, without any limit on who waits there.

  #admit(ticket: Ticket): void {
    if (this.#closed || ticket.cancelled) return;
    const entry = this.#ready(ticket.request.model);
    if (entry !== null && this.#serves(entry, ticket.request) && !this.#refuses(entry)) {
      if (!entry.runner.hung) return this.#join(entry, ticket);
      if (ticket.pings === 0) {
        ticket.pings = 1;
        this.#clock.after(PING_MS, () => this.#admit(ticket));
        return;
      }
    }
    if (this.#pending.length >= this.#options.maxQueue) return ticket.callbacks.failed('busy');
    this.#pending.push(ticket);
    this.#takeNext();
  }

  #ready(model: SimulatedModel): Loaded | null {
    const entry = this.#loaded.get(model.blob);
    return entry?.state === 'ready' ? entry : null;
  }

  #serves(entry: Loaded, request: SchedulerRequest): boolean {
    if (shapeOf(request.options) !== entry.shape) return false;
    if (request.options.num_ctx === undefined && entry.autoContext) return true;
    return this.#contextOf(request) === entry.contextLength;
  }

  /** With the starvation bug mended, a runner the loader waits for takes nobody new. */
  #refuses(entry: Loaded): boolean {
    return !this.#options.bugs.starvation && this.#loader === 'evicting' && entry.sessionMs === 0;
  }

  #contextOf({ options: { num_ctx }, model }: SchedulerRequest): number {
    return Math.min(num_ctx ?? this.#options.contextLength, model.trainedContext ?? Infinity);
  }

  #join(entry: Loaded, ticket: Ticket): void {
    const { request, callbacks } = ticket;
    entry.references++;
    entry.timer?.cancel();
    entry.timer = null;
    if (request.keepAliveMs !== null) entry.sessionMs = request.keepAliveMs;
    const loadMs = this.#clock.now() - ticket.arrivedAt;
    ticket.handle = entry.runner.join(request, callbacks, { loadMs, ended: () => this.#release(entry) });
    if (ticket.paused) ticket.handle.pause();
    if (ticket.cancelled) ticket.handle.cancel();
  }

  #release(entry: Loaded): void {
    entry.references--;
    if (entry.references > 0 || entry.state !== 'ready') return;
    entry.expiresAt = this.#clock.now() + entry.sessionMs;
    if (entry.sessionMs <= 0) return this.#end(entry);
    if (entry.sessionMs === Infinity) return;
    entry.timer = this.#clock.after(entry.sessionMs, () => {
      this.#counts.expirations++;
      this.#watch('expired', entry.model);
      this.#end(entry);
    });
  }

  // The loader: one request at a time, in order.

  #takeNext(): void {
    while (this.#current === null && !this.#closed) {
      const ticket = this.#pending.shift();
      if (ticket === undefined) return;
      if (ticket.cancelled) continue;
      this.#current = ticket;
      this.#place(ticket);
    }
  }

  #loaderDone(): void {
    this.#current = null;
    this.#loader = 'idle';
    this.#takeNext();
  }

  /** One round for the request in hand: join, load, or make room and come again when a runner has ended. */
  #place(ticket: Ticket): void {
    const { request } = ticket;
    const entry = this.#loaded.get(request.model.blob);
    if (entry === undefined) {
      const full = this.#loaded.size >= this.#options.maxLoadedModels || !this.#fits(request);
      const victim = full ? this.#chooseVictim() : null;
      return victim === null ? this.#load(ticket) : this.#expire(victim);
    }
    if (entry.state !== 'ready' || !this.#serves(entry, request)) return this.#expire(entry);
    if (!entry.runner.hung) {
      this.#join(entry, ticket);
      return this.#loaderDone();
    }
    if (ticket.pings >= 2) return this.#expire(entry);
    ticket.pings = 2;
    this.#loader = 'pinging';
    this.#clock.after(PING_MS, () => {
      if (!this.#closed) this.#place(ticket);
    });
  }

  #sizeOf(request: SchedulerRequest): number {
    const { sizeBytes, kvBytesPerToken = 0 } = request.model;
    return sizeBytes + kvBytesPerToken * this.#contextOf(request) * this.#slotsOf(request.model);
  }

  #slotsOf(model: SimulatedModel): number {
    return model.oneSlot === true ? 1 : this.#options.numParallel;
  }

  /** Ollama loads what is predicted to take at most 80 % of what is free, and anything when nothing else is loaded. */
  #fits(request: SchedulerRequest): boolean {
    if (this.#options.memoryBytes === Infinity) return true;
    let free = this.#options.memoryBytes;
    for (const entry of this.#loaded.values()) free -= entry.sizeBytes;
    return this.#sizeOf(request) <= 0.8 * free;
  }

  /** The first idle one in order of (sessionDuration, path), else the head of that order; null when nothing is loaded. */
  #chooseVictim(): Loaded | null {
    const order = [...this.#loaded.values()].sort((a, b) => {
      if (a.sessionMs !== b.sessionMs) return a.sessionMs - b.sessionMs;
      return a.model.blob < b.model.blob ? -1 : 1;
    });
    return order.find((entry) => entry.references === 0) ?? order[0] ?? null;
  }

  /** Makes a runner end as soon as it is idle. Whoever joins it until then with a keep_alive of its own undoes that. */
  #expire(entry: Loaded): void {
    this.#loader = 'evicting';
    entry.sessionMs = 0;
    this.#counts.evictions++;
    this.#watch('evicted', entry.model);
    if (entry.references === 0 && entry.state === 'ready') this.#end(entry);
  }

  #load(ticket: Ticket): void {
    const { request } = ticket;
    const { model } = request;
    const options = this.#options;
    const id = `${model.blob}#${++this.#lives}`;
    const parts = { id, slots: this.#slotsOf(model), options, clock: this.#clock, cache: this.#cache };
    const entry: Loaded = {
      model,
      shape: shapeOf(request.options),
      autoContext: request.options.num_ctx === undefined,
      contextLength: this.#contextOf(request),
      sizeBytes: this.#sizeOf(request),
      runner: new Runner(parts),
      state: 'loading',
      references: 0,
      sessionMs: request.keepAliveMs ?? options.keepAliveMs,
      expiresAt: Infinity,
      timer: null,
    };
    this.#loader = 'loading';
    this.#counts.loadsStarted++;
    const before = this.#ended.get(model.blob);
    if (before !== undefined && this.#clock.now() - before.at < RELOAD_WINDOW_MS) {
      if (before.shape !== entry.shape || before.contextLength !== entry.contextLength) this.#counts.reloads++;
    }
    this.#watch('load-started', model);
    this.#loaded.set(model.blob, entry);
    const factor = 1 + options.loadSpread * (2 * this.#rng.next() - 1);
    entry.timer = this.#clock.after((model.loadMs ?? options.loadMs) * factor, () => {
      entry.timer = null;
      entry.state = 'ready';
      this.#counts.loadsFinished++;
      this.#watch('load-finished', model);
      this.#join(entry, ticket);
      this.#loaderDone();
    });
  }

  /** The load runs under its first requester's context: when that one leaves, it starts from zero for the next. */
  #abortLoad(ticket: Ticket): void {
    const { model } = ticket.request;
    const { blob } = model;
    this.#counts.loadsAborted++;
    this.#watch('load-aborted', model);
    this.#loaded.get(blob)?.timer?.cancel();
    this.#loaded.delete(blob);
    this.#loaderDone();
  }

  #end(entry: Loaded): void {
    entry.state = 'ending';
    entry.timer?.cancel();
    entry.timer = null;
    if (this.#options.unloadMs <= 0) return this.#removed(entry);
    entry.timer = this.#clock.after(this.#options.unloadMs, () => this.#removed(entry));
  }

  #removed(entry: Loaded): void {
    this.#loaded.delete(entry.model.blob);
    const { model, shape, contextLength } = entry;
    this.#ended.set(model.blob, { shape, contextLength, at: this.#clock.now() });
    entry.runner.end('crashed');
    const ticket = this.#current;
    if (ticket === null || this.#loader !== 'evicting') return;
    // The wait for the victim did not watch the request; only now is it seen to have left.
    if (ticket.cancelled) this.#loaderDone();
    else this.#place(ticket);
  }

  #cancel(ticket: Ticket): void {
    if (ticket.cancelled) return;
    ticket.cancelled = true;
    if (ticket.handle !== null) ticket.handle.cancel();
    else if (ticket === this.#current && this.#loader === 'loading') this.#abortLoad(ticket);
  }
}

/** Every runner-shaping option but `num_ctx`, spelled out with what its absence means. */
function shapeOf(options: RunnerOptions): string {
  const gpu = options.num_gpu === undefined || options.num_gpu < 0 ? 'auto' : options.num_gpu;
  return [
    options.num_batch ?? 512,
    options.num_thread ?? 0,
    gpu,
    options.main_gpu ?? 0,
    options.use_mmap ?? 'auto',
    options.draft_num_predict ?? 0,
    options.shift ?? true,
  ].join(' ');
}
