/** The routes that make embeddings. */
import { parseModelName } from '../core/model-name.ts';
import { goQuoted, type GoValue } from '../dialects/go-json.ts';
import { busyText, cloudRefusal, nameRefusal, type Refusal } from './converse.ts';
import { runnerDied } from './faulty-output.ts';
import { plain } from './go-bind.ts';
import { Float32List, goJson } from './json.ts';
import type { Manifest } from './library.ts';
import { seededRng } from './luck.ts';
import { embeddingsRequest, embedRequest, optionsOf } from './native-requests.ts';
import { nativeError } from './native-voice.ts';
import { openaiEmbedRequest } from './openai-requests.ts';
import { openaiErrors } from './openai-voice.ts';
import { type Errors, jsonRoute, nativeErrors } from './requests.ts';
import type { Route } from './router.ts';
import { optionProblem, runnerOptions } from './runner-options.ts';
import type { Timing } from './scheduler-types.ts';
import { countTokens, embeddingOf } from './text.ts';
import { jsonPlain, jsonUtf8, nanoseconds } from './voice.ts';
import type { Exchange, Reply } from './wire.ts';
import type { World } from './world.ts';

interface EmbedAsk {
  readonly model: string;
  readonly inputs: readonly string[];
  readonly dimensions: number;
  readonly truncate: boolean;
  readonly options: Readonly<Record<string, unknown>>;
  readonly keepAliveMs: number | null;
}

interface Embedded {
  /** Unit vectors, one for each input. */
  readonly vectors: readonly (readonly number[])[];
  readonly promptTokens: number;
  readonly timing: Pick<Timing, 'totalMs' | 'loadMs'>;
}

const unsupportedText = 'This server does not support embeddings. Start it with `--embeddings`';

const modelOf = (request: { readonly model: string }): string => request.model;

export function embeddingRoutes(world: World): Route[] {
  return [embedRoute(world), oldEmbeddingsRoute(world), openaiEmbeddingsRoute(world)];
}

function embedRoute(world: World): Route {
  return jsonRoute(world, {
    path: '/api/embed',
    shape: embedRequest,
    errors: nativeErrors,
    emptyText: 'missing request body',
    model: modelOf,
    handle(exchange, request) {
      const inputs = inputsOf(request.input);
      if (inputs === null) return exchange.send(400, nativeError('invalid input type'));
      const ask = {
        model: request.model,
        inputs,
        dimensions: request.dimensions,
        truncate: request.truncate ?? true,
        options: optionsOf(request.options),
        keepAliveMs: request.keep_alive,
      };
      embed(world, exchange, { ask, errors: nativeErrors, write: (embedded) => embedReply(request.model, embedded) });
    },
  });
}

function oldEmbeddingsRoute(world: World): Route {
  return jsonRoute(world, {
    path: '/api/embeddings',
    shape: embeddingsRequest,
    errors: nativeErrors,
    emptyText: 'missing request body',
    model: modelOf,
    handle(exchange, request) {
      if (parseModelName(request.model) === 'missing') return exchange.send(400, nativeError('model is required'));
      const ask = {
        model: request.model,
        inputs: request.prompt === '' ? [] : [request.prompt],
        dimensions: 0,
        truncate: true,
        options: optionsOf(request.options),
        keepAliveMs: request.keep_alive,
      };
      const write = ({ vectors }: Embedded): Reply => ({
        headers: jsonUtf8,
        body: goJson({ embedding: vectors[0] ?? [] }),
      });
      embed(world, exchange, { ask, errors: nativeErrors, write });
    },
  });
}

function openaiEmbeddingsRoute(world: World): Route {
  return jsonRoute(world, {
    path: '/v1/embeddings',
    shape: openaiEmbedRequest,
    errors: openaiErrors,
    model: modelOf,
    handle(exchange, request) {
      const { encoding_format: encoding } = request;
      const inputs = request.input === '' ? [''] : inputsOf(request.input);
      const isInvalid = inputs === null || inputs.length === 0;
      const problem = encodingProblem(encoding) ?? (isInvalid ? 'invalid input' : null);
      if (problem !== null) return exchange.send(400, openaiErrors.reply(400, problem, 'reading'));
      const ask = {
        model: request.model,
        inputs: inputs ?? [],
        dimensions: request.dimensions,
        truncate: true,
        options: {},
        keepAliveMs: null,
      };
      const write = (embedded: Embedded): Reply => openaiEmbedReply(request.model, encoding, embedded);
      embed(world, exchange, { ask, errors: openaiErrors, write });
    },
  });
}

/** Null for what Ollama does not take. */
function inputsOf(input: GoValue): readonly string[] | null {
  if (input === null) return [];
  if (typeof input === 'string') return input === '' ? [] : [input];
  const list = plain(input);
  return Array.isArray(list) && list.every((each) => typeof each === 'string') ? list : null;
}

function encodingProblem(encoding: string): string | null {
  if (['', 'float', 'base64'].includes(encoding.toLowerCase())) return null;
  return `Invalid value for 'encoding_format' = ${encoding}. Supported values: ['float', 'base64'].`;
}

function embedReply(model: string, { vectors, promptTokens, timing }: Embedded): Reply {
  const embeddings = vectors.map((vector) => new Float32List(vector));
  if (vectors.length === 0) return { headers: jsonUtf8, body: goJson({ model, embeddings }) };
  return {
    headers: jsonUtf8,
    body: goJson({
      model,
      embeddings,
      total_duration: nanoseconds(timing.totalMs),
      load_duration: nanoseconds(timing.loadMs),
      prompt_eval_count: promptTokens || undefined,
    }),
  };
}

function openaiEmbedReply(model: string, encoding: string, { vectors, promptTokens }: Embedded): Reply {
  const isBase64 = encoding.toLowerCase() === 'base64';
  const data = vectors.map((vector, index) => ({
    object: 'embedding',
    embedding: isBase64 ? base64Of(vector) : new Float32List(vector),
    index,
  }));
  const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
  return { headers: jsonPlain, body: `${goJson({ object: 'list', data, model, usage })}\n` };
}

function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}

interface EmbedTalk {
  readonly ask: EmbedAsk;
  readonly errors: Errors;
  readonly write: (embedded: Embedded) => Reply;
}

function embed(world: World, exchange: Exchange, talk: EmbedTalk): void {
  const { ask, errors } = talk;
  const found = findModel(world, ask.model);
  const problem = 'status' in found ? found : optionProblem({ ...found.recipe.parameters, ...ask.options });
  if (problem !== null) {
    const isNative = 'isNative' in problem && problem.isNative === true;
    const reply = isNative ? nativeError(problem.text) : errors.reply(problem.status, problem.text, 'handler');
    return exchange.send(problem.status, reply);
  }
  run(world, exchange, talk, found as Manifest);
}

function findModel(world: World, model: string): Manifest | Refusal {
  const parts = parseModelName(model);
  if (parts === 'missing') return { status: 404, text: `model '${model}' not found` };
  if (typeof parts === 'string') return nameRefusal(parts, model);
  if (parts.source === 'cloud') return cloudRefusal('remote model is unavailable');
  return world.library.find(model) ?? { status: 404, text: `model ${goQuoted(model)} not found, try pulling it first` };
}

/** The model is granted once; then each input goes through the runner's queue by itself, as in Ollama. */
function run(world: World, exchange: Exchange, { ask, errors, write }: EmbedTalk, manifest: Manifest): void {
  const { weights } = manifest;
  const shared = {
    manifest,
    options: runnerOptions({ ...manifest.recipe.parameters, ...ask.options }, null),
    keepAliveMs: ask.keepAliveMs,
    outputTokens: 0,
    prefix: [],
  };
  const fail = (status: number, text: string): void => exchange.send(status, errors.reply(status, text, 'handler'));
  const failed = (reason: 'busy' | 'crashed'): void =>
    reason === 'busy' ? fail(503, busyText) : fail(500, runnerDied);
  const vectors = ask.inputs.map((input) => vectorOf(world, manifest, input, ask.dimensions));
  const tokens = ask.inputs.map(countTokens);
  const started = world.clock.now();

  function finish(loadMs: number): void {
    const timing = { loadMs: loadMs + 1, totalMs: world.clock.now() - started + 2 };
    exchange.send(200, write({ vectors, promptTokens: tokens.reduce((sum, each) => sum + each, 0), timing }));
  }

  function granted(loadMs: number): void {
    if (ask.inputs.length === 0) return finish(loadMs);
    if (!weights.capabilities.includes('embedding')) return fail(501, unsupportedText);
    if (!ask.truncate && tokens.some((each) => each > weights.contextLength)) {
      return fail(400, 'the input length exceeds the context length');
    }
    let left = ask.inputs.length;
    for (const promptTokens of tokens) {
      const one = world.machine.submit(
        { ...shared, task: 'embed', promptTokens },
        { done: () => --left === 0 && finish(loadMs), failed },
      );
      exchange.onGone(() => one.cancel());
    }
  }

  const load = world.machine.submit(
    { ...shared, task: 'load', promptTokens: 0 },
    { done: (timing) => granted(timing.loadMs), failed },
  );
  exchange.onGone(() => load.cancel());
}

function vectorOf(world: World, { weights }: Manifest, input: string, dimensions: number): number[] {
  const whole = embeddingOf(seededRng(world.options.seed, weights.digest, input), weights.embeddingLength);
  if (dimensions <= 0 || dimensions >= whole.length) return whole;
  const short = whole.slice(0, dimensions);
  const norm = Math.hypot(...short) || 1;
  return short.map((each) => Math.fround(each / norm));
}
