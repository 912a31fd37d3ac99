/** What the simulated models say: plain English sentences about llamas and water, one token a word. */
import type { Rng } from '../core/types.ts';
import { draw } from './luck.ts';

const subjects = [
  'the herd',
  'a young llama',
  'the old shepherd',
  'the river',
  'a patient cook',
  'the morning light',
  'every traveller',
  'the quiet neighbour',
];
const plurals = [
  'llamas',
  'mountain paths',
  'clear streams',
  'careful hands',
  'quiet evenings',
  'warm blankets',
  'long stories',
];
const verbs = ['follows', 'remembers', 'carries', 'waits for', 'listens to', 'walks beside', 'looks after'];
const objects = [
  'the narrow trail',
  'the smell of rain',
  'a basket of corn',
  'the next village',
  'an old song',
  'the water from the hills',
];
const tails = [
  'before the sun is up',
  'without any hurry',
  'as it has done for years',
  'when the wind turns',
  'and nobody minds',
  'until the valley is quiet',
];
const openers = ['In short,', 'As far as anyone knows,', 'On most days', 'Once more,', 'To begin with,', 'Even so,'];

/** Tokens of one sentence: each word with the blank before it, marks as tokens of their own. */
function sentence(rng: Rng): string[] {
  const pick = (from: readonly string[]): string => from[draw(rng, from.length)]!;
  const forms = [
    () => `${pick(openers)} ${pick(subjects)} ${pick(verbs)} ${pick(objects)} ${pick(tails)}.`,
    () => `${pick(subjects)} ${pick(verbs)} ${pick(objects)}, and ${pick(plurals)} follow ${pick(tails)}.`,
    () => `There are ${pick(plurals)} where ${pick(subjects)} ${pick(verbs)} ${pick(objects)}.`,
    () => `${pick(plurals)} are worth more than ${pick(plurals)}, ${pick(tails)}.`,
  ];
  const words = forms[draw(rng, forms.length)]!();
  return tokenize(` ${words[0]!.toUpperCase()}${words.slice(1)}`);
}

/** Splits text into the tokens a stream would bring: words with their blank, and single marks. They join to the text. */
export function tokenize(text: string): string[] {
  return text.match(/\s*[\p{L}\p{N}]+|\s*[^\s\p{L}\p{N}]|\s+$/gu) ?? [];
}

/**
 * At most `limit` tokens; fewer when the text ends by itself, after a whole sentence and at least `least` tokens. The first
 * has no blank before it.
 */
export function say(
  rng: Rng,
  limit: number,
  least = 0,
): { readonly tokens: string[]; readonly reason: 'stop' | 'length' } {
  const tokens: string[] = [];
  for (;;) {
    for (const token of sentence(rng)) {
      if (tokens.length >= limit) return { tokens, reason: 'length' };
      tokens.push(tokens.length === 0 ? token.trimStart() : token);
    }
    if (tokens.length >= least) return { tokens, reason: 'stop' };
  }
}

/** About four bytes a token, as the gateway estimates it too. */
export function countTokens(text: string): number {
  return text === '' ? 0 : Math.max(1, Math.ceil(Buffer.byteLength(text) / 4));
}

/** A unit vector of float32 numbers that depends on the luck only. */
export function embeddingOf(rng: Rng, length: number): number[] {
  const vector = Array.from({ length }, () => rng.next() * 2 - 1);
  const norm = Math.hypot(...vector) || 1;
  return vector.map((x) => Math.fround(x / norm));
}
