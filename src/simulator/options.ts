/** What a simulated Ollama can be told, and what it does when it is not. */
import { type Static, Type } from 'typebox';
import { Duration, Size } from '../core/options.ts';

const GiB = 1024 ** 3;

/** The one place the defaults are written; the schema below shows them. */
export const simulatorDefaults = {
  name: 'simulated',
  host: '127.0.0.1',
  port: 0,
  models: ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text'],
  version: '0.33.0-rc2',
  slots: 2,
  vramBytes: 16 * GiB,
  loadMs: 2_000,
  tokensPerSecond: 60,
  prefillTokensPerSecond: 2_000,
  seed: 1,
  speed: 1,
  maxQueue: 512,
  maxLoaded: 3,
  keepAliveMs: 300_000,
} as const;

/** A model with more to say than its name; whatever is left out is derived from the name. */
export const ModelSpec = Type.Object(
  {
    name: Type.String({ description: 'As in `ollama pull`: `[host/][namespace/]model[:tag]`.' }),
    sizeBytes: Type.Optional(Size({ description: 'Size of the weights.' })),
    parameterSize: Type.Optional(Type.String({ description: 'As in `ollama list`, e.g. `3.2B`.' })),
    family: Type.Optional(Type.String({ description: 'Architecture, e.g. `llama`.' })),
    quantization: Type.Optional(Type.String({ description: 'Quantization level, e.g. `Q4_K_M`.' })),
    contextLength: Type.Optional(Type.Integer({ description: 'Trained context length in tokens.', minimum: 1 })),
    embeddingLength: Type.Optional(Type.Integer({ description: 'Width of an embedding.', minimum: 1 })),
    capabilities: Type.Optional(
      Type.Array(Type.String(), { description: '`completion`, `tools`, `insert`, `vision`, `embedding`, `thinking`.' }),
    ),
    revision: Type.Optional(
      Type.String({ description: 'Changes the digests: the same name with other contents, as after a stale pull.' }),
    ),
  },
  { additionalProperties: false },
);
export type ModelSpec = Static<typeof ModelSpec>;

export const SimulatorOptions = Type.Object(
  {
    name: Type.String({ description: 'Names the instance in its journal.', default: simulatorDefaults.name }),
    host: Type.String({ description: 'Address to listen on.', default: simulatorDefaults.host }),
    port: Type.Integer({ description: 'Port to listen on; 0 picks a free one.', default: simulatorDefaults.port }),
    models: Type.Array(Type.Union([Type.String(), ModelSpec]), {
      description: 'Installed models, by name or in detail.',
      default: [...simulatorDefaults.models],
    }),
    version: Type.String({ description: 'What /api/version says.', default: simulatorDefaults.version }),
    slots: Type.Integer({
      description: 'OLLAMA_NUM_PARALLEL: requests one loaded model serves at a time.',
      default: simulatorDefaults.slots,
      minimum: 1,
    }),
    vramBytes: Size({
      description: 'Memory for loaded models; 0 means no GPU, and memory without bound.',
      default: simulatorDefaults.vramBytes,
    }),
    loadMs: Duration({ description: 'Time to load a model.', default: simulatorDefaults.loadMs }),
    tokensPerSecond: Type.Number({
      description: 'Output tokens a second, each stream.',
      default: simulatorDefaults.tokensPerSecond,
      exclusiveMinimum: 0,
    }),
    prefillTokensPerSecond: Type.Number({
      description: 'Prompt tokens a second.',
      default: simulatorDefaults.prefillTokensPerSecond,
      exclusiveMinimum: 0,
    }),
    seed: Type.Integer({ description: 'Seed of every text and id.', default: simulatorDefaults.seed }),
    speed: Type.Number({
      description: 'Time scale: 10 makes every load and token ten times as fast.',
      default: simulatorDefaults.speed,
      exclusiveMinimum: 0,
    }),
    maxQueue: Type.Integer({
      description: 'OLLAMA_MAX_QUEUE: requests that may wait for a load.',
      default: simulatorDefaults.maxQueue,
      minimum: 0,
    }),
    maxLoaded: Type.Integer({
      description: 'OLLAMA_MAX_LOADED_MODELS.',
      default: simulatorDefaults.maxLoaded,
      minimum: 1,
    }),
    keepAliveMs: Duration({
      description: 'OLLAMA_KEEP_ALIVE: how long an idle model stays loaded.',
      default: simulatorDefaults.keepAliveMs,
    }),
  },
  { additionalProperties: false },
);
export type SimulatorOptions = Static<typeof SimulatorOptions>;

/** Fills in what was left out. */
export function simulatorOptions(given: Partial<SimulatorOptions>): SimulatorOptions {
  return { ...simulatorDefaults, models: [...simulatorDefaults.models], ...given };
}
