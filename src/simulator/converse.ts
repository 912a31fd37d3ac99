/** The handlers of /api/chat and /api/generate, which every request for text comes down to. */
import { isCloudModel, parseModelName } from '../core/model-name.ts';
import { goQuoted } from '../dialects/go-json.ts';
import { compose, tokenIds } from './compose.ts';
import { type Fault, faultOf } from './faults.ts';
import { runnerDied } from './faulty-output.ts';
import { goJson } from './json.ts';
import { displayedName, fullName, type Manifest } from './library.ts';
import { hash } from './luck.ts';
import { nativeError, nativeIdle, nativeRendering } from './native-voice.ts';
import { optionProblem, runnerOptions } from './runner-options.ts';
import type { Timing } from './scheduler-types.ts';
import { type Ask, type Ending, type Part, type Speech, textMessage } from './speech.ts';
import { readPrompt, renderPrompt } from './template.ts';
import { countTokens } from './text.ts';
import type { Voice } from './voice.ts';
import type { Exchange } from './wire.ts';
import { voiceContext, type World } from './world.ts';

export interface Refusal {
  readonly status: number;
  readonly text: string;
  /** Said in Ollama's own shape whatever the dialect. */
  readonly isNative?: boolean;
}

export const busyText = 'server busy, please try again.  maximum pending requests exceeded';

const multimodalText = goJson({
  error: {
    code: 400,
    message: 'Multimodal data provided, but model does not support multimodal requests.',
    type: 'invalid_request_error',
  },
});

export interface Talk {
  readonly ask: Ask;
  readonly voice: Voice;
  readonly faults: readonly Fault[];
}

/** Answers a request for text, or to load or unload. */
export function converse(world: World, exchange: Exchange, talk: Talk): void {
  const { ask, voice } = talk;
  exchange.broken = (text) => voice.broken(text);
  const found = findModel(world, ask);
  const refusal = 'status' in found ? found : ask.raw && ask.templated ? rawRefusal : null;
  if (refusal !== null) return refuse(exchange, voice, refusal);
  const manifest = found as Manifest;
  const idles = ask.messages.length === 0;
  if (idles && ask.keepAliveMs === 0) {
    world.machine.unload(manifest);
    const { headers, body } = nativeIdle(ask.kind, voiceContext(world, ask.model), 'unload');
    return exchange.send(200, { headers, body });
  }
  const problem = capabilityProblem(ask, manifest) ?? optionProblem(allOptions(ask, manifest));
  if (problem !== null) return refuse(exchange, voice, problem);
  if (idles) return loadOnly(world, exchange, talk, manifest);
  const bad = promptProblem(ask, manifest);
  if (bad !== null) return refuseOnceLoaded(world, exchange, talk, { manifest, bad });
  const whole = { ...talk, ask: withRecipe(ask, manifest) };
  if (ask.renderOnly) return renderOnly(world, exchange, whole, manifest);
  speak(world, exchange, whole, manifest);
}

/** The model's own system prompt and messages come before the request's. */
function withRecipe(ask: Ask, { recipe }: Manifest): Ask {
  // What was rendered has it already.
  if (ask.raw) return { ...ask, messages: readPrompt(renderPrompt(ask)) ?? ask.messages };
  const hasSystem = ask.messages[0]?.role === 'system' || recipe.system === '';
  const system = hasSystem ? [] : [textMessage('system', recipe.system)];
  return { ...ask, messages: [...system, ...recipe.messages, ...ask.messages] };
}

const rawRefusal: Refusal = { status: 400, text: 'raw mode does not support template, system, or context' };

function refuse(exchange: Exchange, voice: Voice, { status, text, isNative = false }: Refusal): void {
  exchange.send(status, isNative ? nativeError(text) : voice.error(status, text, 'handler'));
}

/** The model, or why there is none. */
function findModel(world: World, ask: Ask): Manifest | Refusal {
  if (ask.topLogprobs < 0 || ask.topLogprobs > 20) {
    return { status: 400, text: 'top_logprobs must be between 0 and 20' };
  }
  const parts = parseModelName(ask.model);
  if (parts === 'missing') {
    return ask.kind === 'chat'
      ? { status: 400, text: 'model is required' }
      : { status: 404, text: `model '${ask.model}' not found` };
  }
  if (typeof parts === 'string') return nameRefusal(parts, ask.model);
  const name = displayedName(ask.model)!;
  if (parts.source === 'cloud' || isCloudModel(name)) return cloudRefusal('remote model is unavailable');
  return world.library.find(ask.model) ?? { status: 404, text: `model '${ask.model}' not found` };
}

export function nameRefusal(problem: 'conflicting-source' | 'invalid', model: string): Refusal {
  const text =
    problem === 'invalid' ? 'invalid model name' : `use either :local or :cloud, not both: ${goQuoted(model.trim())}`;
  return { status: 400, text };
}

/** A simulated Ollama is never signed in, and has its cloud features off. */
export function cloudRefusal(operation: string): Refusal {
  return { status: 403, text: `ollama cloud is disabled: ${operation}`, isNative: true };
}

/** What the model cannot do that the request asks for. */
function capabilityProblem(ask: Ask, { name, weights }: Manifest): Refusal | null {
  const has = (capability: string): boolean => weights.capabilities.includes(capability);
  const thinks = ask.think !== null && ask.think !== false;
  if (thinks && !has('thinking') && !ask.relaxedThink) {
    return { status: 400, text: `${goQuoted(ask.model)} does not support thinking` };
  }
  if (!has('completion')) return { status: 400, text: `${goQuoted(ask.model)} does not support ${ask.kind}` };
  const missing = [
    ...(ask.suffix !== '' && !has('insert') ? ['insert'] : []),
    ...(ask.tools.length > 0 && !has('tools') ? ['tools'] : []),
  ];
  return missing.length === 0
    ? null
    : { status: 400, text: `${fullName(name)} does not support ${missing.join('\n')}` };
}

/** What only shows once the prompt is put to the runner. */
function promptProblem(ask: Ask, { weights }: Manifest): Refusal | null {
  const { format } = ask;
  const isFormat = format === '' || format === '""' || format === '"json"' || format.startsWith('{');
  if (!isFormat) {
    const text = `invalid format: ${goQuoted(format)}; expected "json" or a valid JSON Schema object`;
    return { status: 500, text };
  }
  const images = ask.messages.some((message) => message.images > 0);
  const sees = weights.capabilities.includes('vision') || weights.capabilities.includes('audio');
  return images && !sees ? { status: 400, text: multimodalText } : null;
}

/** The model's own parameters, and over them the request's. */
function allOptions(ask: Ask, { recipe }: Manifest): Readonly<Record<string, unknown>> {
  return { ...recipe.parameters, ...ask.options };
}

function loadOnly(world: World, exchange: Exchange, talk: Talk, manifest: Manifest): void {
  const { ask } = talk;
  submit(world, exchange, talk, {
    manifest,
    task: 'load',
    done: () => {
      const { headers, body } = nativeIdle(ask.kind, voiceContext(world, ask.model), 'load');
      exchange.send(200, { headers, body });
    },
  });
}

function renderOnly(world: World, exchange: Exchange, talk: Talk, manifest: Manifest): void {
  const { ask } = talk;
  submit(world, exchange, talk, {
    manifest,
    task: 'load',
    done: () => {
      const { headers, body } = nativeRendering(ask.kind, voiceContext(world, ask.model), renderPrompt(ask));
      exchange.send(200, { headers, body });
    },
  });
}

function refuseOnceLoaded(
  world: World,
  exchange: Exchange,
  talk: Talk,
  { manifest, bad }: { readonly manifest: Manifest; readonly bad: Refusal },
): void {
  submit(world, exchange, talk, { manifest, task: 'load', done: () => fail(exchange, talk, bad) });
}

/** An error of the runner's: in-band once the stream has begun. */
function fail(exchange: Exchange, { ask, voice }: Talk, { status, text }: Refusal): void {
  if (!exchange.committed) return exchange.send(status, voice.error(status, text, ask.stream ? 'stream' : 'handler'));
  for (const frame of voice.broken(text)) exchange.chunk(frame);
  exchange.end();
}

interface Submission {
  readonly manifest: Manifest;
  readonly task: 'generate' | 'load';
  readonly outputTokens?: number;
  /** Called for each token, with a way to stall until the reader has caught up. */
  readonly token?: (stall: () => void) => void;
  readonly done: (timing: Timing) => void;
}

function submit(
  world: World,
  exchange: Exchange,
  talk: Talk,
  { manifest, task, outputTokens = 0, token, done }: Submission,
): void {
  const { ask, voice } = talk;
  const prefix = marksOf(ask);
  const handle = world.machine.submit(
    {
      manifest,
      options: runnerOptions(allOptions(ask, manifest), ask.shift),
      keepAliveMs: ask.keepAliveMs,
      task,
      promptTokens: prefix.at(-1)?.tokens ?? 0,
      outputTokens,
      prefix,
      eachToken: token !== undefined,
    },
    {
      token: () =>
        token?.(() => {
          world.journal.note('stalled', { request: exchange.id });
          handle.pause();
          exchange.onDrain(() => handle.resume());
        }),
      done,
      failed: (reason) => {
        if (reason === 'busy') exchange.send(503, voice.error(503, busyText, 'handler'));
        else fail(exchange, talk, { status: 500, text: runnerDied });
      },
    },
  );
  exchange.onGone(() => handle.cancel());
}

/** The prompt's message boundaries: what a prefix cache can share. */
function marksOf(ask: Ask): { hash: string; tokens: number }[] {
  let text = '';
  let tokens = 0;
  return ask.messages.map((message) => {
    const words = goJson(message);
    text = `${hash(text)} ${words}`;
    tokens += countTokens(message.content + message.thinking) + templateTokens;
    return { hash: String(hash(text)), tokens };
  });
}

/** What a chat template puts around a message. */
const templateTokens = 4;

function speak(world: World, exchange: Exchange, talk: Talk, manifest: Manifest): void {
  const { ask, voice, faults } = talk;
  const script = world.scripts.take((name) => world.library.find(name)?.name === manifest.name);
  const { seed, answerTokens } = world.options;
  const speech = spoiled(compose({ ask, weights: manifest.weights, seed, answerTokens, script }), faults);
  const broken = faultOf(faults, 'runner-error');
  let said = 0;
  submit(world, exchange, talk, {
    manifest,
    task: 'generate',
    outputTokens: speech.parts.length,
    ...(ask.stream ? { token: (stall: () => void) => !sayPart(exchange, voice, speech.parts[said++]) && stall() } : {}),
    done(timing) {
      if (broken !== undefined) {
        return fail(exchange, talk, { status: broken.status ?? 500, text: broken.text ?? runnerDied });
      }
      const ending = endingOf(ask, speech, timing);
      if (!ask.stream) return exchange.send(200, { headers: voice.plainHeaders, body: voice.whole(ending) });
      if (!exchange.committed) exchange.start(200, voice.streamHeaders);
      for (const frame of voice.ending(ending)) exchange.chunk(frame);
      exchange.end();
    },
  });
}

/** False when the reader does not keep up. */
function sayPart(exchange: Exchange, voice: Voice, part: Part | undefined): boolean {
  if (part === undefined || isSilent(part)) return true;
  if (!exchange.committed) exchange.start(200, voice.streamHeaders);
  let keepsUp = true;
  for (const frame of voice.part(part)) keepsUp = exchange.chunk(frame);
  return keepsUp;
}

function isSilent({ content, thinking, toolCalls, logprobs }: Part): boolean {
  return content === '' && thinking === '' && toolCalls.length === 0 && logprobs === null;
}

/** Faults that are of what is said. */
function spoiled(whole: Speech, faults: readonly Fault[]): Speech {
  const broken = faultOf(faults, 'runner-error');
  const speech = broken === undefined ? whole : { ...whole, parts: whole.parts.slice(0, broken.afterTokens ?? 0) };
  const oversized = faultOf(faults, 'oversized-line');
  const wide = faultOf(faults, 'split-utf8') !== undefined;
  if (oversized === undefined && !wide) return speech;
  const long = 'x'.repeat(oversized?.bytes ?? 9 * 1_024 * 1_024);
  const parts = speech.parts.map((part, place) => {
    const isLong = oversized !== undefined && place === (oversized.afterTokens ?? 0);
    const content = isLong ? long : part.content;
    return { ...part, content: wide && content !== '' ? `${content}🦙` : content };
  });
  return { ...speech, parts };
}

/** What Ollama itself spends on a request, beside the scheduler: its loaded models are never found in no time at all. */
const handlerMs = 1;

function endingOf(ask: Ask, { parts, reason, promptTokens }: Speech, timing: Timing): Ending {
  const content = parts.map((part) => part.content).join('');
  const logprobs = parts.flatMap((part) => part.logprobs ?? []);
  const isGenerate = ask.kind === 'generate';
  return {
    reason,
    content,
    thinking: parts.map((part) => part.thinking).join(''),
    toolCalls: parts.flatMap((part) => part.toolCalls),
    logprobs: ask.logprobs ? logprobs : null,
    promptTokens: promptTokens ?? timing.promptTokens,
    outputTokens: parts.length,
    timing: {
      totalMs: timing.totalMs + 2 * handlerMs,
      loadMs: timing.loadMs + handlerMs,
      promptMs: Math.max(timing.promptMs, handlerMs / 2),
      outputMs: timing.outputMs,
    },
    context: isGenerate && !ask.raw ? tokenIds([...ask.messages.map((message) => message.content), content]) : null,
  };
}
