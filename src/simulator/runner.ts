/** One loaded runner: slots, the first-in-first-out queue for them, and progress at rates that depend on who else is active. */
import type { Clock, Millis, Timer } from '../core/types.ts';
import type { PrefixCache } from '../core/prefix-cache.ts';
import type {
  RequestCallbacks,
  RequestFailure,
  RequestHandle,
  SchedulerOptions,
  SchedulerRequest,
  Timing,
} from './scheduler-types.ts';

export interface RunnerSnapshot {
  readonly slots: number;
  readonly active: number;
  readonly waiting: number;
  /** Slots lost to readers that stalled and left. */
  readonly leaked: number;
}

export interface RunnerParts {
  /** Distinguishes this life of the runner in the prefix cache. */
  readonly id: string;
  readonly slots: number;
  readonly options: SchedulerOptions;
  readonly clock: Clock;
  readonly cache: PrefixCache;
}

/** How the scheduler came to grant the runner, and whom to tell when the request holds it no longer. */
export interface Grant {
  readonly loadMs: Millis;
  /** Called once, before the ending is told. */
  readonly ended: () => void;
}

interface Task {
  readonly request: SchedulerRequest;
  readonly callbacks: RequestCallbacks;
  readonly grant: Grant;
  readonly grantedAt: Millis;
  state: 'waiting' | 'prefill' | 'decode' | 'gone';
  paused: boolean;
  startedAt: Millis;
  firstTokenAt: Millis;
  cachedTokens: number;
  tokens: number;
  /** The runner's work clock at which the next thing happens to it; while paused, what is left until then. */
  next: number;
}

/** Differences below this are rounding, not time. */
const EPSILON_MS = 1e-6;

/**
 * All active requests of a runner run at the same share of their speed alone. So progress is one number, the work clock: the
 * milliseconds a request alone would have run; each request waits for its own mark on it, and one timer waits for the nearest.
 */
export class Runner {
  readonly #parts: RunnerParts;
  readonly #decodeMs: Millis;
  readonly #active = new Set<Task>();
  readonly #waiting = new Set<Task>();
  #leaked = 0;
  #hung = false;
  #work = 0;
  #workAt: Millis;
  #timer: Timer | null = null;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    this.#decodeMs = 1000 / parts.options.decodeTokensPerSecond;
    this.#workAt = parts.clock.now();
  }

  get hung(): boolean {
    return this.#hung;
  }

  join(request: SchedulerRequest, callbacks: RequestCallbacks, grant: Grant): RequestHandle {
    const now = this.#parts.clock.now();
    const task: Task = {
      request,
      callbacks,
      grant,
      grantedAt: now,
      state: 'waiting',
      paused: false,
      startedAt: now,
      firstTokenAt: now,
      cachedTokens: 0,
      tokens: 0,
      next: 0,
    };
    this.#waiting.add(task);
    callbacks.granted?.();
    if (request.task === 'load') this.#finish(task);
    else this.#settle();
    return {
      cancel: () => this.#cancel(task),
      pause: () => this.#setPaused(task, true),
      resume: () => this.#setPaused(task, false),
    };
  }

  /** The process stops answering; nothing progresses any more. */
  hang(): void {
    this.#advance();
    this.#hung = true;
    this.#settle();
  }

  /** The process is gone: its requests end with the reason, and the prompts it remembered are forgotten. */
  end(reason: RequestFailure): void {
    const gone = [...this.#active, ...this.#waiting];
    this.close();
    for (const task of gone) {
      task.state = 'gone';
      task.grant.ended();
      task.callbacks.failed(reason);
    }
  }

  /** The process is gone, and so is everybody who could be told. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#active.clear();
    this.#waiting.clear();
    this.#parts.cache.drop(this.#parts.id);
  }

  snapshot(): RunnerSnapshot {
    const { slots } = this.#parts;
    return { slots, active: this.#active.size, waiting: this.#waiting.size, leaked: this.#leaked };
  }

  #pace(): number {
    let running = 0;
    for (const task of this.#active) if (!task.paused) running++;
    const { speed, sharing } = this.#parts.options;
    return this.#hung || running === 0 ? 0 : speed / running ** sharing;
  }

  /** Brings the work clock up to now. Comes before anything that changes who is running. */
  #advance(): void {
    const now = this.#parts.clock.now();
    this.#work += (now - this.#workAt) * this.#pace();
    this.#workAt = now;
  }

  /** Fills the free slots from the queue and sets the timer anew. Comes after anything that changes who is running. */
  #settle(): void {
    this.#advance();
    for (const task of this.#waiting) {
      if (this.#active.size + this.#leaked >= this.#parts.slots) break;
      this.#start(task);
    }
    this.#timer?.cancel();
    this.#timer = null;
    let nearest = Infinity;
    for (const task of this.#active) if (!task.paused) nearest = Math.min(nearest, task.next);
    const pace = this.#pace();
    if (nearest === Infinity || pace === 0) return;
    this.#timer = this.#parts.clock.after(Math.max(0, (nearest - this.#work) / pace), () => this.#onDue());
  }

  #start(task: Task): void {
    const { request } = task;
    const { options, cache, clock, id } = this.#parts;
    this.#waiting.delete(task);
    this.#active.add(task);
    task.state = 'prefill';
    task.startedAt = clock.now();
    task.cachedTokens = Math.min(request.promptTokens, cache.lookup(id, request.prefix));
    const uncached = request.promptTokens - task.cachedTokens;
    const cost = options.prefillFixedMs + (uncached * 1000) / options.prefillTokensPerSecond;
    task.next = task.paused ? cost : this.#work + cost;
  }

  #onDue(): void {
    this.#timer = null;
    this.#advance();
    // A callback may submit, cancel or end; so each step looks at the runner as it then is.
    for (let task = this.#due(); task !== null; task = this.#due()) this.#reach(task);
    this.#settle();
  }

  /** Of the requests whose mark is passed, the one that passed it first. */
  #due(): Task | null {
    let first: Task | null = null;
    for (const task of this.#active) {
      if (task.paused || task.next > this.#work + EPSILON_MS) continue;
      if (first === null || task.next < first.next) first = task;
    }
    return first;
  }

  #reach(task: Task): void {
    const { request, callbacks } = task;
    if (task.state === 'prefill') {
      this.#parts.cache.store(this.#parts.id, request.prefix);
      task.firstTokenAt = this.#parts.clock.now();
      if (request.task === 'embed' || request.outputTokens < 1) return this.#finish(task);
      task.state = 'decode';
      task.tokens = 1;
      task.next += request.eachToken === true ? this.#decodeMs : request.outputTokens * this.#decodeMs;
      callbacks.firstToken?.();
      if (request.eachToken === true) callbacks.token?.();
    } else if (request.eachToken === true && task.tokens < request.outputTokens) {
      task.tokens++;
      task.next += this.#decodeMs;
      callbacks.token?.();
    } else {
      this.#finish(task);
    }
  }

  #finish(task: Task): void {
    const { request, grant, callbacks } = task;
    const { cache, clock, id } = this.#parts;
    if (request.answerMark !== undefined) cache.store(id, [...request.prefix, request.answerMark]);
    this.#leave(task);
    const timing = timingOf(task, clock.now());
    // The scheduler hears of it first, so that whoever reacts to the answer finds the runner idle.
    grant.ended();
    callbacks.done(timing);
  }

  #cancel(task: Task): void {
    if (task.state === 'gone') return;
    // The producer of a stalled stream blocks on a channel nobody reads any more, and keeps its permit (ollama#17131).
    if (this.#parts.options.bugs.slotLeak && task.paused && task.state !== 'waiting') this.#leaked++;
    this.#leave(task);
    task.grant.ended();
  }

  #leave(task: Task): void {
    this.#advance();
    task.state = 'gone';
    this.#active.delete(task);
    this.#waiting.delete(task);
    this.#settle();
  }

  #setPaused(task: Task, paused: boolean): void {
    if (task.paused === paused || task.state === 'gone') return;
    this.#advance();
    task.paused = paused;
    if (task.state !== 'waiting') task.next += paused ? -this.#work : this.#work;
    this.#settle();
  }
}

function timingOf(task: Task, now: Millis): Timing {
  const { request, grant } = task;
  if (request.task === 'load') {
    const nothing = { promptMs: 0, outputMs: 0, promptTokens: 0, cachedTokens: 0, outputTokens: 0 };
    return { ...nothing, loadMs: grant.loadMs, slotWaitMs: 0, totalMs: grant.loadMs };
  }
  return {
    loadMs: grant.loadMs,
    slotWaitMs: task.startedAt - task.grantedAt,
    promptMs: task.firstTokenAt - task.startedAt,
    outputMs: now - task.firstTokenAt,
    totalMs: grant.loadMs + now - task.grantedAt,
    promptTokens: request.promptTokens,
    cachedTokens: task.cachedTokens,
    outputTokens: request.task === 'embed' ? 0 : request.outputTokens,
  };
}
