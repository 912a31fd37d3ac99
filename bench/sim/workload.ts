/** What the clients of a case want, drawn from a seed before the run, so that every policy gets the same. */
import type { Millis, PrefixMark, Rng } from '../../src/core/types.ts';
import { seededRng } from '../../src/simulator/luck.ts';
import { createPrefixCache } from '../../src/core/prefix-cache.ts';
import type { RunnerOptions } from '../../src/simulator/scheduler-types.ts';
import type { Case } from './cases.ts';
import { exponential, geometric, zipf } from './luck.ts';
import { mooncakeTrace, type Lengths, type MooncakeRequest } from './traces.ts';

/** One request of a conversation. */
export interface Turn {
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Message boundaries of the prompt, shortest first, and the one after the answer. */
  readonly prefix: readonly PrefixMark[];
  readonly answerMark?: PrefixMark;
  /** Tokens of the prompt that one cache as large as the fleet's together would remember. */
  readonly reusableTokens: number;
  /** Between this answer's end and the next turn. */
  readonly thinkMs: Millis;
}

export interface Conversation {
  readonly id: number;
  readonly atMs: Millis;
  readonly client: string;
  /** The model's rank by popularity. */
  readonly model: number;
  readonly options: RunnerOptions;
  readonly turns: readonly Turn[];
}

export interface Workload {
  readonly conversations: readonly Conversation[];
  readonly source: string;
}

export function createWorkload(of: Case, seed: number, lengths: Lengths): Workload {
  if (of.kind === 'mooncake') return mooncakeWorkload(of);
  if (of.clients !== undefined) return clientsWorkload(of, of.clients, seed, lengths);
  const starts = arrivals(of, of.rate / of.meanTurns, seededRng(seed, 'arrivals'));
  return {
    source: lengths.source,
    conversations: starts.map((atMs, id) =>
      converse({ of, seed, luck: String(id), lengths, id, atMs, client: `client-${id % 50}` }),
    ),
  };
}

/** What a client asks for does not depend on who else there is. */
function clientsWorkload(of: Case, clients: NonNullable<Case['clients']>, seed: number, lengths: Lengths): Workload {
  const capacity = capacityOf(of, lengths);
  const asked = clients.flatMap(({ load, name }, index) =>
    arrivals(of, load * capacity, seededRng(seed, name)).map((atMs, count) => {
      const id = clients.length * count + index;
      return converse({ of, seed, luck: `${name} ${count}`, lengths, id, atMs, client: name });
    }),
  );
  return { source: lengths.source, conversations: asked.sort((a, b) => a.atMs - b.atMs) };
}

function arrivals(of: Case, perSecond: number, rng: Rng): Millis[] {
  const times: Millis[] = [];
  for (let at = exponential(rng, 1000 / perSecond); at < of.horizonMs; at += exponential(rng, 1000 / perSecond)) {
    times.push(at);
  }
  return times;
}

interface Setting {
  readonly of: Case;
  readonly seed: number;
  /** What its own luck is drawn from. */
  readonly luck: string;
  readonly lengths: Lengths;
  readonly id: number;
  readonly atMs: Millis;
  readonly client: string;
}

function converse({ of, seed, luck, lengths, id, atMs, client }: Setting): Conversation {
  const rng = seededRng(seed, 'conversation', luck);
  const model = zipf(rng, of.models, 1);
  const population = rng.next() < 0.5 ? 4096 : 16_384;
  const count = of.meanTurns === 1 ? 1 : geometric(rng, of.meanTurns);
  const turns: Turn[] = [];
  let marks: PrefixMark[] = [];
  let tokens = 0;
  for (let index = 0; index < count; index++) {
    const { contextTokens, outputTokens } = lengths.draw(rng);
    const reusableTokens = tokens;
    tokens += of.kind === 'short' ? 20 + Math.floor(180 * rng.next()) : contextTokens;
    const prefix = [...marks, { hash: `${id}.${2 * index}`, tokens }];
    const promptTokens = tokens;
    tokens += outputTokens;
    const answerMark = { hash: `${id}.${2 * index + 1}`, tokens };
    marks = [...prefix, answerMark];
    const thinkMs = exponential(rng, of.thinkMs);
    turns.push({ promptTokens, outputTokens, prefix, answerMark, reusableTokens, thinkMs });
  }
  return { id, atMs, client, model, options: of.kind === 'contexts' ? { num_ctx: population } : {}, turns };
}

/** Requests per second a fleet finishes when every slot is busy and nothing is cached. */
function capacityOf(of: Case, lengths: Lengths): number {
  const rng = seededRng('capacity');
  let work = 0;
  const draws = 10_000;
  for (let index = 0; index < draws; index++) work += workOf(lengths.draw(rng));
  return throughputOf(of) / (work / draws);
}

/** Seconds one request takes alone. */
function workOf({ contextTokens, outputTokens }: { contextTokens: number; outputTokens: number }): number {
  return 0.02 + contextTokens / 2500 + outputTokens / 60;
}

/** Seconds of work alone that a fleet does in a second, when every slot is busy. */
function throughputOf(of: Case): number {
  return of.speeds.reduce((sum, speed) => sum + speed * of.slots ** (1 - 0.45), 0);
}

const BLOCK_TOKENS = 512;
const CLIP_TOKENS = 16_384;

/** The trace from its start, stretched so that its work, with nothing cached, is 70 % of what the fleet can do. */
function mooncakeWorkload(of: Case): Workload {
  const trace = mooncakeTrace();
  if (trace === null) {
    return { conversations: [], source: 'the Mooncake trace was not found; set LLAMERO_TRACES' };
  }
  const turns = bounded(of, trace.map(turnOf));
  const work = turns.reduce((sum, { promptTokens, outputTokens }) => {
    return sum + workOf({ contextTokens: promptTokens, outputTokens });
  }, 0);
  const spanMs = trace.at(-1)!.atMs;
  const stretch = work / (0.7 * throughputOf(of)) / (spanMs / 1000);
  const conversations = turns
    .map(
      (turn, id): Conversation => ({
        id,
        atMs: trace[id]!.atMs * stretch,
        client: 'trace',
        model: 0,
        options: {},
        turns: [turn],
      }),
    )
    .filter(({ atMs }) => atMs < of.horizonMs);
  return { conversations, source: `Mooncake conversation trace, stretched ${stretch.toFixed(2)} x` };
}

function turnOf({ promptTokens, outputTokens, blocks }: MooncakeRequest): Turn {
  const tokens = Math.min(promptTokens, CLIP_TOKENS - outputTokens);
  const prefix = blocks
    .slice(0, Math.ceil(tokens / BLOCK_TOKENS))
    .map((block, index) => ({ hash: String(block), tokens: Math.min(tokens, BLOCK_TOKENS * (index + 1)) }));
  return { promptTokens: tokens, outputTokens, prefix, reusableTokens: 0, thinkMs: 0 };
}

/** What one big cache would save of each prompt, in order of arrival. */
function bounded(of: Case, turns: readonly Turn[]): Turn[] {
  const cache = createPrefixCache(of.backends * cachedPrompts(of));
  return turns.map((turn) => {
    const reusableTokens = cache.lookup('', turn.prefix);
    cache.store('', turn.prefix);
    return { ...turn, reusableTokens };
  });
}

/** Prompts whose prefix one backend remembers. */
export function cachedPrompts(of: Case): number {
  return of.prompts * of.places;
}
