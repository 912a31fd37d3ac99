/** The simulated hardware and the process on it: what is loaded now, and what a crash takes with it. */
import type { Clock, Millis } from '../core/types.ts';
import type { Journal } from './journal.ts';
import type { Manifest } from './library.ts';
import { seededRng } from './luck.ts';
import type { SimulatorOptions } from './options.ts';
import { createRunnerLocks } from './runner-locks.ts';
import { createOllamaScheduler, type OllamaScheduler, type ResidentRunner } from './scheduler.ts';
import type { RequestCallbacks, RequestHandle, SchedulerRequest, SimulatedModel } from './scheduler-types.ts';

const GiB = 1_024 ** 3;

/** An upstream bug that can be had or not while the machine runs (ollama-wire §2.5). */
export interface Bugs {
  slotLeak: boolean;
  starvation: boolean;
}

export interface Work extends Omit<SchedulerRequest, 'model'> {
  readonly manifest: Manifest;
}

export interface Machine {
  readonly bugs: Bugs;
  submit(work: Work, callbacks: RequestCallbacks): RequestHandle;
  unload(manifest: Manifest): boolean;
  /** The runner's process dies. False when it is not loaded. */
  crashRunner(manifest: Manifest): boolean;
  /** The runner's process stops answering. False when it is not loaded. */
  hangRunner(manifest: Manifest): boolean;
  resident(): readonly Resident[];
  /** Calls back as soon as no request waits for a runner that hangs. */
  onceUnlocked(run: () => void): void;
  snapshot(): ReturnType<OllamaScheduler['snapshot']>;
  /** The server's process dies with every runner; a new one begins with none. */
  restart(): void;
  close(): void;
}

export interface Resident extends ResidentRunner {
  /** Of the name that loaded it. */
  readonly manifest: Manifest;
  /** What it stays for once idle, in simulated milliseconds; Infinity for ever. */
  readonly keepAliveMs: Millis;
}

interface InstalledModel extends SimulatedModel {
  readonly manifest: Manifest;
}

export function createMachine(options: SimulatorOptions, clock: Clock, journal: Journal): Machine {
  const bugs: Bugs = { slotLeak: options.slotLeak, starvation: options.starvation };
  const keepAlives = new Map<string, Millis>();
  let locks = createRunnerLocks();
  let scheduler = start();

  function start(): OllamaScheduler {
    return createOllamaScheduler(
      {
        numParallel: options.slots,
        maxLoadedModels: options.maxLoaded,
        maxQueue: options.maxQueue,
        memoryBytes: options.vramBytes === 0 ? Number.POSITIVE_INFINITY : options.vramBytes,
        keepAliveMs: options.keepAliveMs < 0 ? Number.POSITIVE_INFINITY : options.keepAliveMs,
        contextLength: defaultContext(options.vramBytes),
        loadMs: options.loadMs,
        loadSpread: 0,
        unloadMs: options.unloadMs,
        decodeTokensPerSecond: options.tokensPerSecond,
        prefillTokensPerSecond: options.prefillTokensPerSecond,
        prefillFixedMs: options.promptOverheadMs,
        sharing: options.sharing,
        bugs,
      },
      clock,
      seededRng(options.seed, options.name),
      (kind, model) => {
        // A runner that is loaded anew answers.
        if (kind === 'load-started') locks.answers(model.blob);
        journal.note(kind, { model: model.name });
      },
    );
  }

  return {
    bugs,
    submit({ manifest, ...request }, callbacks) {
      if (request.keepAliveMs !== null) keepAlives.set(manifest.weights.digest, request.keepAliveMs);
      return locks.through(manifest.weights.digest, callbacks, (minded) =>
        scheduler.submit({ ...request, model: modelOf(manifest) }, minded),
      );
    },
    unload: (manifest) => scheduler.unload(modelOf(manifest)),
    crashRunner: (manifest) => scheduler.crash(modelOf(manifest)),
    hangRunner(manifest) {
      const hangs = scheduler.hang(modelOf(manifest));
      if (hangs) locks.hangs(manifest.weights.digest);
      return hangs;
    },
    onceUnlocked: (run) => locks.onceFree(run),
    resident: () =>
      scheduler.resident().map((runner) => ({
        ...runner,
        manifest: (runner.model as InstalledModel).manifest,
        keepAliveMs: keepAlives.get(runner.model.blob) ?? options.keepAliveMs,
      })),
    snapshot: () => scheduler.snapshot(),
    restart() {
      scheduler.close();
      keepAlives.clear();
      locks = createRunnerLocks();
      scheduler = start();
    },
    close: () => scheduler.close(),
  };
}

/** Ollama's default context grows with the memory it finds (ollama-wire §2.1). */
function defaultContext(vramBytes: number): number {
  if (vramBytes >= 47 * GiB) return 262_144;
  return vramBytes >= 23 * GiB ? 32_768 : 4_096;
}

/** Families that get one slot, whatever OLLAMA_NUM_PARALLEL says. */
const serialFamilies = /^(?:mllama|qwen3vl|qwen35|qwen3next|lfm2|nemotron_h)/u;

function modelOf(manifest: Manifest): InstalledModel {
  const { weights } = manifest;
  return {
    manifest,
    name: manifest.name,
    blob: weights.digest,
    sizeBytes: weights.sizeBytes,
    // About what a llama of that size keeps per token, in 16 bits.
    kvBytesPerToken: Math.round(2 * Math.sqrt(weights.parameters)),
    trainedContext: weights.contextLength,
    oneSlot: !weights.capabilities.includes('completion') || serialFamilies.test(weights.family),
  };
}
