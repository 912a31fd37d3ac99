/** A case come alive: simulated Ollamas, the clients of a workload, and the record of what became of each request. */
import { createHash, type Hash } from 'node:crypto';
import type { Millis, Rng } from '../../src/core/types.ts';
import { hash, seededRng } from '../../src/simulator/luck.ts';
import { createOllamaScheduler, type OllamaScheduler } from '../../src/simulator/scheduler.ts';
import type { RequestHandle, RunnerOptions, SimulatedModel, Timing } from '../../src/simulator/scheduler-types.ts';
import type { Case } from './cases.ts';
import { EventLoop } from './event-loop.ts';
import { cachedPrompts, type Conversation, type Turn, type Workload } from './workload.ts';

/** One request on its way, as a router sees it. */
export interface Ask {
  readonly id: number;
  readonly conversation: Conversation;
  readonly turn: Turn;
  readonly arrivedAt: Millis;
}

/** What became of a request; times are null until they come. */
export interface Record {
  readonly ask: Ask;
  backend: number | null;
  firstAt: Millis | null;
  doneAt: Millis | null;
  refused: boolean;
  cachedTokens: number;
}

/** How an answer went, as a router may learn it. */
export interface Answered {
  readonly ask: Ask;
  readonly backend: number;
  /** Null when the backend refused or its runner died. */
  readonly timing: Timing | null;
}

/** Decides where requests go, and when. */
export interface Router {
  arrive(ask: Ask): void;
  firstToken?(ask: Ask, backend: number): void;
  answered(answer: Answered): void;
}

/** One simulated Ollama, and what a gateway in front of it can know without asking. */
export interface SimulatedBackend {
  readonly index: number;
  readonly speed: number;
  /** Requests sent and not ended. */
  inFlight: number;
  /** The same by model's rank. */
  readonly sent: Map<number, number>;
  readonly ollama: OllamaScheduler;
}

export interface World {
  readonly of: Case;
  readonly loop: EventLoop;
  readonly rng: Rng;
  readonly backends: readonly SimulatedBackend[];
  readonly models: readonly SimulatedModel[];
  /** Sends a request to a backend. */
  forward(ask: Ask, backend: number): void;
  /** Answers a request with a failure of the gateway's own. */
  refuse(ask: Ask): void;
  /** Lets time stand still until the promise is settled. */
  pending(promise: Promise<void>): void;
  /** A load of the gateway's own, detached from any request; `ended` tells whether it succeeded and how long it took. */
  load(backend: number, model: number, options: RunnerOptions, ended: (loadMs: Millis | null) => void): RequestHandle;
  unload(backend: number, model: number): boolean;
}

export interface Played {
  readonly records: readonly Record[];
  /** Tokens a second of all answers that ended after the warm-up, whenever they were asked for. */
  readonly outputRate: number;
  /** Loads started after the warm-up. */
  readonly loads: number;
  /** Among them, those that only changed the options of a model that was there. */
  readonly reloads: number;
  /** Digest of everything that happened, in order. */
  readonly digest: string;
}

/** A whole run. The same case, seed, workload and router give the same digest. */
export function play(
  of: Case,
  seed: number,
  workload: Workload,
  options: { readonly createRouter: (world: World) => Router; readonly log?: (line: string) => void },
): Promise<Played> {
  return new Play(of, seed, options.log ?? null).run(workload, options.createRouter);
}

class Play implements World {
  readonly of: Case;
  readonly loop = new EventLoop();
  readonly rng: Rng;
  readonly backends: readonly SimulatedBackend[];
  readonly models: readonly SimulatedModel[];
  readonly #records: Record[] = [];
  readonly #digest: Hash = createHash('sha256');
  readonly #log: ((line: string) => void) | null;
  #router: Router | null = null;
  #startMs: Millis = 0;

  constructor(of: Case, seed: number, log: ((line: string) => void) | null) {
    this.of = of;
    this.#log = log;
    this.rng = seededRng(seed, 'router');
    this.models = Array.from({ length: of.models }, (_, index) => ({
      name: `model-${index}:latest`,
      blob: `sha256-${hash(`model-${index}`).toString(16).padStart(8, '0')}`,
      sizeBytes: 4e9,
    }));
    this.backends = of.speeds.map((speed, index) => ({
      index,
      speed,
      inFlight: 0,
      sent: new Map<number, number>(),
      ollama: createOllamaScheduler(
        {
          numParallel: of.slots,
          maxLoadedModels: of.places,
          loadMs: of.loadMs,
          cachedPrompts: cachedPrompts(of),
          speed,
        },
        this.loop,
        seededRng(seed, 'backend', index),
      ),
    }));
  }

  async run(workload: Workload, createRouter: (world: World) => Router): Promise<Played> {
    const { of, loop } = this;
    this.#preload(workload);
    this.#startMs = loop.now();
    this.#router = createRouter(this);
    for (const conversation of workload.conversations) {
      loop.after(conversation.atMs, () => this.#speak(conversation, 0));
    }
    await loop.runUntilSettled(this.#startMs + of.warmUpMs);
    const before = this.#count();
    await loop.runUntilSettled(this.#startMs + of.horizonMs);
    const after = this.#count();
    return {
      records: this.#records.filter(({ ask }) => ask.arrivedAt >= this.#startMs + of.warmUpMs),
      outputRate: this.#outputRate(),
      loads: after.loads - before.loads,
      reloads: after.reloads - before.reloads,
      digest: this.#digest.digest('hex').slice(0, 16),
    };
  }

  forward(ask: Ask, backend: number): void {
    const target = this.backends[backend]!;
    const record = this.#records[ask.id]!;
    const { conversation, turn } = ask;
    record.backend = backend;
    const { model } = conversation;
    target.inFlight++;
    target.sent.set(model, (target.sent.get(model) ?? 0) + 1);
    this.#note('forward', ask.id, backend);
    const ended = (timing: Timing | null): void => {
      target.inFlight--;
      target.sent.set(model, target.sent.get(model)! - 1);
      this.#note(timing === null ? 'failed' : 'done', ask.id, backend);
      record.cachedTokens = timing?.cachedTokens ?? 0;
      if (timing === null) record.refused = true;
      else record.doneAt = this.loop.now();
      this.#router?.answered({ ask, backend, timing });
      if (timing !== null) this.#think(ask);
    };
    target.ollama.submit(
      {
        model: this.models[model]!,
        options: conversation.options,
        keepAliveMs: null,
        task: 'generate',
        promptTokens: turn.promptTokens,
        outputTokens: turn.outputTokens,
        prefix: turn.prefix,
        ...(turn.answerMark === undefined ? {} : { answerMark: turn.answerMark }),
      },
      {
        firstToken: () => {
          record.firstAt = this.loop.now();
          this.#note('first', ask.id, backend);
          this.#router?.firstToken?.(ask, backend);
        },
        done: ended,
        failed: () => ended(null),
      },
    );
  }

  pending(promise: Promise<void>): void {
    this.loop.waitFor(promise);
  }

  refuse(ask: Ask): void {
    this.#records[ask.id]!.refused = true;
    this.#note('refused', ask.id, -1);
  }

  load(backend: number, model: number, options: RunnerOptions, ended: (loadMs: Millis | null) => void): RequestHandle {
    this.#note('load', model, backend);
    const startedAt = this.loop.now();
    return this.backends[backend]!.ollama.submit(
      {
        model: this.models[model]!,
        options,
        keepAliveMs: null,
        task: 'load',
        promptTokens: 0,
        outputTokens: 0,
        prefix: [],
      },
      {
        done: () => {
          this.#note('loaded', model, backend);
          ended(this.loop.now() - startedAt);
        },
        failed: () => ended(null),
      },
    );
  }

  unload(backend: number, model: number): boolean {
    this.#note('unload', model, backend);
    return this.backends[backend]!.ollama.unload(this.models[model]!);
  }

  /** The hottest models over all places, so that every policy starts alike. */
  #preload(workload: Workload): void {
    const options = workload.conversations[0]?.options ?? {};
    for (const { index, ollama } of this.backends) {
      for (let place = 0; place < Math.min(this.of.places, this.of.models); place++) {
        const model = this.models[(index * this.of.places + place) % this.of.models]!;
        const load = { model, options, keepAliveMs: null, promptTokens: 0, outputTokens: 0, prefix: [] };
        ollama.submit({ ...load, task: 'load' }, { done: () => {}, failed: () => {} });
      }
    }
    this.loop.runUntil(2 * this.of.loadMs * this.of.places);
  }

  #speak(conversation: Conversation, index: number): void {
    const turn = conversation.turns[index];
    if (turn === undefined) return;
    const ask: Ask = { id: this.#records.length, conversation, turn, arrivedAt: this.loop.now() };
    this.#records.push({ ask, backend: null, firstAt: null, doneAt: null, refused: false, cachedTokens: 0 });
    this.#note('arrive', ask.id, conversation.id);
    this.#router?.arrive(ask);
  }

  #think({ conversation, turn }: Ask): void {
    const next = conversation.turns.indexOf(turn) + 1;
    if (next < conversation.turns.length) this.loop.after(turn.thinkMs, () => this.#speak(conversation, next));
  }

  #note(what: string, subject: number, where: number): void {
    const line = `${(this.loop.now() - this.#startMs).toFixed(3)} ${what} ${subject} ${where}\n`;
    this.#digest.update(line);
    this.#log?.(line);
  }

  #outputRate(): number {
    const { horizonMs, warmUpMs } = this.of;
    let tokens = 0;
    for (const { ask, doneAt } of this.#records) {
      if (doneAt !== null && doneAt >= this.#startMs + warmUpMs) tokens += ask.turn.outputTokens;
    }
    return (1000 * tokens) / (horizonMs - warmUpMs);
  }

  #count(): { loads: number; reloads: number } {
    const snapshots = this.backends.map(({ ollama }) => ollama.snapshot());
    return {
      loads: snapshots.reduce((sum, { loadsStarted }) => sum + loadsStarted, 0),
      reloads: snapshots.reduce((sum, { reloads }) => sum + reloads, 0),
    };
  }
}
