/** What a simulated Ollama can be told, and what it does when it is not. */
import { type Static, Type } from 'typebox';
import { Duration, Size } from '../core/options.ts';

const GiB = 1_024 ** 3;

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
      Type.Array(Type.String(), {
        description: 'Of `completion`, `tools`, `insert`, `vision`, `audio`, `embedding`, `thinking`.',
      }),
    ),
    revision: Type.Optional(
      Type.String({ description: 'Changes the digests: the same name with other contents, as after a stale pull.' }),
    ),
  },
  { additionalProperties: false },
);
export type ModelSpec = Static<typeof ModelSpec>;

/** The one place the defaults are written; the schema shows them. */
export const simulatorDefaults = {
  name: 'simulated',
  host: '127.0.0.1',
  port: 0,
  models: ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text'] as readonly (string | ModelSpec)[],
  version: '0.33.0-rc2',
  slots: 2,
  vramBytes: 16 * GiB,
  loadMs: 2_000,
  unloadMs: 0,
  tokensPerSecond: 60,
  prefillTokensPerSecond: 2_000,
  promptOverheadMs: 20,
  sharing: 0,
  answerTokens: 0,
  seed: 1,
  speed: 1,
  maxQueue: 512,
  maxLoaded: 3,
  keepAliveMs: 300_000,
  registry: 'open' as 'open' | 'unreachable',
  pullBytesPerSecond: 500_000_000,
  pullLayers: 5,
  account: '',
  slotLeak: false,
  starvation: false,
};

export const SimulatorOptions = Type.Object(
  {
    name: Type.String({ description: 'Names the instance in its control API.', default: simulatorDefaults.name }),
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
    unloadMs: Duration({
      description: 'How long an unload holds its place, as a GPU’s does until its memory is free.',
      default: simulatorDefaults.unloadMs,
    }),
    tokensPerSecond: Type.Number({
      description: 'Output tokens a second of one request alone.',
      default: simulatorDefaults.tokensPerSecond,
      exclusiveMinimum: 0,
    }),
    prefillTokensPerSecond: Type.Number({
      description: 'Prompt tokens a second of one request alone.',
      default: simulatorDefaults.prefillTokensPerSecond,
      exclusiveMinimum: 0,
    }),
    promptOverheadMs: Duration({
      description: 'Spent on every prompt, however much of it is cached.',
      default: simulatorDefaults.promptOverheadMs,
    }),
    sharing: Type.Number({
      description: 'With n requests in a model, each runs at 1 / n ** sharing of its rate: 0 not slower, 1 in turns.',
      default: simulatorDefaults.sharing,
      minimum: 0,
      maximum: 1,
    }),
    answerTokens: Type.Integer({
      description: 'Length of an answer that nothing cuts; 0 lets it vary with the request.',
      default: simulatorDefaults.answerTokens,
      minimum: 0,
    }),
    seed: Type.Integer({ description: 'Seed of every text and id.', default: simulatorDefaults.seed }),
    speed: Type.Number({
      description: 'Time scale: 10 makes every load, token and keep_alive ten times as fast.',
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
      description: 'OLLAMA_KEEP_ALIVE: how long an idle model stays loaded; negative for ever.',
      default: simulatorDefaults.keepAliveMs,
    }),
    registry: Type.Union([Type.Literal('open'), Type.Literal('unreachable')], {
      description: 'Whether a pull finds every model it asks for, or no registry at all.',
      default: simulatorDefaults.registry,
    }),
    pullBytesPerSecond: Size({
      description: 'Speed of a pull or push.',
      default: simulatorDefaults.pullBytesPerSecond,
    }),
    pullLayers: Type.Integer({
      description: 'Layers a pull shows the progress of.',
      default: simulatorDefaults.pullLayers,
      minimum: 1,
    }),
    account: Type.String({
      description: 'Whom /api/me says is signed in; nobody when empty.',
      default: simulatorDefaults.account,
    }),
    slotLeak: Type.Boolean({
      description: 'Ollama bug: a reader that stalls and leaves takes its slot with it.',
      default: simulatorDefaults.slotLeak,
    }),
    starvation: Type.Boolean({
      description: 'Ollama bug: requests keep joining a model that is to make room for another.',
      default: simulatorDefaults.starvation,
    }),
  },
  { additionalProperties: false },
);
export type SimulatorOptions = Omit<Static<typeof SimulatorOptions>, 'models'> & {
  models: readonly (string | ModelSpec)[];
};

/** Fills in what was left out. */
export function simulatorOptions(given: Partial<SimulatorOptions>): SimulatorOptions {
  return { ...simulatorDefaults, ...given };
}
