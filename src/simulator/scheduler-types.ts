/** The words the scheduler model and its users share. Times are milliseconds of the injected clock, sizes are bytes. */
import type { Millis, PrefixMark } from '../core/types.ts';

/** A model as its manifest describes it. Aliases are several of these with one `blob`. */
export interface SimulatedModel {
  readonly name: string;
  /** The path of the weights: what Ollama keys its loaded runners by, and the second key of its eviction order. */
  readonly blob: string;
  readonly sizeBytes: number;
  /** KV cache per token of context and slot; 0 when memory does not matter. */
  readonly kvBytesPerToken?: number;
  /** `num_ctx` is clamped to it. */
  readonly trainedContext?: number;
  /** Embedding models and some families get one slot, whatever OLLAMA_NUM_PARALLEL says (ollama-wire 2.1). */
  readonly oneSlot?: boolean;
  /** Mean load time; the scheduler's `loadMs` when absent. */
  readonly loadMs?: Millis;
}

/** The options that shape a runner, in Ollama's spelling; a change of any forces a reload (ollama-wire 2.3). */
export interface RunnerOptions {
  readonly num_ctx?: number;
  readonly num_batch?: number;
  readonly num_thread?: number;
  /** Negative means automatic, as does its absence. */
  readonly num_gpu?: number;
  readonly main_gpu?: number;
  readonly use_mmap?: boolean;
  readonly draft_num_predict?: number;
  readonly shift?: boolean;
}

export interface SchedulerRequest {
  readonly model: SimulatedModel;
  readonly options: RunnerOptions;
  /** As the request states it; null when it states none, Infinity for ever. */
  readonly keepAliveMs: Millis | null;
  /** `load` ends when a runner is granted; `embed` when the prompt is processed. */
  readonly task: 'generate' | 'embed' | 'load';
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** The prompt's message boundaries, shortest first. */
  readonly prefix: readonly PrefixMark[];
  /** The boundary after the answer, when a later prompt may contain it. */
  readonly answerMark?: PrefixMark;
  /** Whether `token` is called for each token; otherwise only `firstToken`. */
  readonly eachToken?: boolean;
}

/** How an answer's time was spent, as Ollama's final chunk tells it. */
export interface Timing {
  /** Until a runner was granted: the scheduler's queue and the load. */
  readonly loadMs: Millis;
  /** Between the grant and a slot; Ollama reports it nowhere. */
  readonly slotWaitMs: Millis;
  readonly promptMs: Millis;
  readonly outputMs: Millis;
  readonly totalMs: Millis;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly outputTokens: number;
}

/** `busy`: MAX_QUEUE requests wait for a load. `crashed`: the runner's process died under the request. */
export type RequestFailure = 'busy' | 'crashed';

/** All are optional but the endings, of which exactly one comes, unless the request is cancelled. May run inside `submit`. */
export interface RequestCallbacks {
  /** A runner was granted; a slot in it may still have to be waited for. */
  granted?(): void;
  firstToken?(): void;
  /** One more token is there; the first is included. Only with `eachToken`. */
  token?(): void;
  done(timing: Timing): void;
  failed(reason: RequestFailure): void;
}

export interface RequestHandle {
  /** The client left: frees the slot, leaves the queue, aborts the load it started. */
  cancel(): void;
  /** The reader stalls: the answer makes no progress and keeps its slot. */
  pause(): void;
  resume(): void;
}

/** Upstream bugs (ollama-wire 2.5) that can be had or not. */
export interface UpstreamBugs {
  /** A stalled reader that leaves takes its slot with it until the runner is unloaded. */
  readonly slotLeak: boolean;
  /** While a load waits for a busy runner to fall idle, new requests still join that runner. */
  readonly starvation: boolean;
}

export interface SchedulerOptions {
  /** OLLAMA_NUM_PARALLEL. */
  readonly numParallel: number;
  /** OLLAMA_MAX_LOADED_MODELS. */
  readonly maxLoadedModels: number;
  /** OLLAMA_MAX_QUEUE. */
  readonly maxQueue: number;
  /** Memory for runners; Infinity when only places count. */
  readonly memoryBytes: number;
  /** OLLAMA_KEEP_ALIVE; Infinity for ever. */
  readonly keepAliveMs: Millis;
  /** OLLAMA_CONTEXT_LENGTH: what an absent `num_ctx` means. */
  readonly contextLength: number;
  readonly loadMs: Millis;
  /** A load takes `loadMs` times a number drawn evenly from 1 - spread to 1 + spread. */
  readonly loadSpread: number;
  /** How long an unload holds its place (VRAM recovery). */
  readonly unloadMs: Millis;
  /** Of one request alone, at speed 1. */
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  /** Spent on every prompt, however much of it is cached; at speed 1. */
  readonly prefillFixedMs: Millis;
  /** With n requests active in a runner, each runs at 1 / n ** sharing of its rate alone. */
  readonly sharing: number;
  /** The hardware's factor on every rate but the load's. */
  readonly speed: number;
  /** Prompts whose prefix the runners remember, over all of them. */
  readonly cachedPrompts: number;
  readonly bugs: UpstreamBugs;
}

/** Ollama's own defaults, on a machine of the league's speed. */
export const schedulerDefaults: SchedulerOptions = {
  numParallel: 1,
  maxLoadedModels: 3,
  maxQueue: 512,
  memoryBytes: Infinity,
  keepAliveMs: 300_000,
  contextLength: 4096,
  loadMs: 20_000,
  loadSpread: 0.4,
  unloadMs: 0,
  prefillTokensPerSecond: 2500,
  decodeTokensPerSecond: 60,
  prefillFixedMs: 20,
  sharing: 0.45,
  speed: 1,
  cachedPrompts: 75,
  bugs: { slotLeak: true, starvation: true },
};
