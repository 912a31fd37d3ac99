/** What a model will say to a request: decided at once, from the seed and the request alone, and spoken token by token. */
import type { Rng } from '../core/types.ts';
import { goJson } from './json.ts';
import { draw, hash, seededRng } from './luck.ts';
import type { Weights } from './models.ts';
import { sampleOf } from './sample.ts';
import type { Script } from './script.ts';
import type { Ask, DoneReason, Logprob, Part, Speech, ToolCall } from './speech.ts';
import { say, tokenize } from './text.ts';

const silence: Part = { content: '', thinking: '', toolCalls: [], logprobs: null };

export interface ComposeParts {
  readonly ask: Ask;
  readonly weights: Weights;
  readonly seed: number;
  /** Length of an answer that nothing cuts; 0 lets it vary. */
  readonly answerTokens: number;
  /** What a test wants said, when it does. */
  readonly script: Script | null;
}

/**
 * Rules: offered tools, a model that can use them calls the first one in answer to a user, and speaks once it has a tool's
 * result; a `format` gives JSON that fits; a thinking model thinks first unless told not to; `num_predict` and `stop` cut.
 */
export function compose(given: ComposeParts): Speech {
  return continued(given) ?? composed(given);
}

/**
 * When the last message is the beginning of what would have been said without it, the rest of that; else null. `num_predict` then
 * counts from there.
 */
function continued(given: ComposeParts): Speech | null {
  const { ask, script } = given;
  const last = ask.messages.at(-1);
  if (script !== null || ask.logprobs || last?.role !== 'assistant' || last.content === '') return null;
  const { num_predict: _, ...options } = ask.options;
  const whole = composed({ ...given, ask: { ...ask, options, messages: ask.messages.slice(0, -1) } }).parts;
  if (whole.some(({ thinking, toolCalls }) => thinking !== '' || toolCalls.length > 0)) return null;
  const text = whole.map(({ content }) => content).join('');
  if (!text.startsWith(last.content)) return null;
  const rest: Part[] = [];
  let said = 0;
  for (const part of whole) {
    const content = part.content.slice(Math.max(0, last.content.length - said));
    said += part.content.length;
    if (content !== '') rest.push({ ...part, content });
  }
  return limited(rest, limitOf(ask), {});
}

function composed({ ask, weights, seed, answerTokens, script }: ComposeParts): Speech {
  const told = goJson(ask.options['seed'] ?? 0);
  const rng = seededRng(seed, weights.digest, told, ...ask.messages.map((message) => goJson(message)));
  const limit = limitOf(ask);
  if (script !== null) return limited(scriptedParts(script, rng), limit, script);
  const parts: Part[] = [];
  if (thinks(ask, weights)) {
    for (const token of say(rng, 8 + draw(rng, 16)).tokens) parts.push({ ...silence, thinking: token });
  }
  const [last] = ask.messages.slice(-1);
  if (ask.tools.length > 0 && last?.role !== 'tool' && weights.capabilities.includes('tools')) {
    const { name, parameters } = ask.tools[0]!;
    parts.push(...callParts(rng, [{ name, arguments: argumentsFor(parameters, rng) }]));
  } else {
    parts.push(...spokenParts(ask, rng, answerTokens));
  }
  return withLogprobs(ask, rng, limited(stopped(parts, ask), limit, {}));
}

/** Tokens; negative asks for no bound. */
function limitOf(ask: Ask): number {
  const asked = ask.options['num_predict'];
  return typeof asked === 'number' && asked >= 0 ? Math.trunc(asked) : Number.POSITIVE_INFINITY;
}

function thinks(ask: Ask, weights: Weights): boolean {
  return weights.capabilities.includes('thinking') && ask.think !== false && ask.messages.length > 0;
}

function spokenParts(ask: Ask, rng: Rng, answerTokens: number): Part[] {
  const words = (): string[] =>
    answerTokens > 0 ? say(rng, answerTokens, answerTokens).tokens : say(rng, 200, 24 + draw(rng, 72)).tokens;
  const isFree = ask.format === '' || ask.format === '""';
  const tokens = isFree ? words() : tokenize(JSON.stringify(structured(ask.format, rng)));
  return tokens.map((content) => ({ ...silence, content }));
}

function structured(format: string, rng: Rng): unknown {
  const schema = JSON.parse(format) as unknown;
  return schema === 'json' ? { answer: say(rng, 12).tokens.join('') } : sampleOf(schema, rng);
}

function argumentsFor(parameters: unknown, rng: Rng): Readonly<Record<string, unknown>> {
  const sampled = sampleOf(parameters ?? { type: 'object' }, rng);
  return typeof sampled === 'object' && sampled !== null ? (sampled as Readonly<Record<string, unknown>>) : {};
}

/** A call takes as many tokens as its text would; it is heard with the last of them. */
function callParts(rng: Rng, calls: readonly Pick<ToolCall, 'name' | 'arguments'>[]): Part[] {
  return calls.flatMap((call, index) => {
    const tokens = tokenize(goJson(call)).length;
    const toolCalls = [{ ...call, index, id: callId(rng) }];
    return [...Array.from({ length: tokens - 1 }, () => silence), { ...silence, toolCalls }];
  });
}

function callId(rng: Rng): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return `call_${Array.from({ length: 8 }, () => letters[draw(rng, letters.length)]!).join('')}`;
}

function scriptedParts(script: Script, rng: Rng): Part[] {
  const tokens = (given: string | readonly string[] | undefined): readonly string[] =>
    given === undefined ? [] : typeof given === 'string' ? tokenize(given) : given;
  return [
    ...tokens(script.thinking).map((thinking) => ({ ...silence, thinking })),
    ...tokens(script.content).map((content) => ({ ...silence, content })),
    ...callParts(rng, script.toolCalls ?? []),
  ];
}

/** Ends before the first of the `stop` texts that turns up in what is said. */
function stopped(parts: readonly Part[], ask: Ask): Part[] {
  const given = ask.options['stop'];
  const stops = (Array.isArray(given) ? (given as unknown[]) : []).filter(
    (stop) => typeof stop === 'string' && stop !== '',
  );
  const text = parts.map((part) => part.content).join('');
  const places = stops.map((stop) => text.indexOf(stop as string)).filter((place) => place >= 0);
  if (places.length === 0) return [...parts];
  let left = Math.min(...places);
  const kept: Part[] = [];
  for (const part of parts) {
    if (part.content === '' || part.content.length <= left) kept.push(part);
    else if (left > 0) kept.push({ ...part, content: part.content.slice(0, left) });
    left -= part.content.length;
    if (left <= 0) break;
  }
  return kept;
}

function limited(parts: readonly Part[], limit: number, script: Script): Speech {
  const reason: DoneReason = script.reason ?? (parts.length > limit ? 'length' : 'stop');
  return { parts: parts.slice(0, limit), reason, promptTokens: script.promptTokens ?? null };
}

function withLogprobs(ask: Ask, rng: Rng, speech: Speech): Speech {
  if (!ask.logprobs) return speech;
  const parts = speech.parts.map((part) => ({ ...part, logprobs: [logprobOf(part, ask.topLogprobs, rng)] }));
  return { ...speech, parts };
}

function logprobOf(part: Part, alternatives: number, rng: Rng): Logprob {
  const token = part.content + part.thinking;
  const one = (text: string): Logprob => ({ token: text, logprob: -rng.next() * 3, bytes: [...Buffer.from(text)] });
  if (alternatives === 0) return one(token);
  const others = Array.from({ length: alternatives - 1 }, () => one(say(rng, 1).tokens[0]!));
  const chosen = one(token);
  return { ...chosen, top_logprobs: [chosen, ...others] };
}

/** Token ids as /api/generate gives them back; the same text has the same ids. */
export function tokenIds(texts: readonly string[]): number[] {
  return texts.flatMap(tokenize).map((token) => hash(token) % 128_256);
}
