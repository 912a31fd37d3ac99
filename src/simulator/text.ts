/** What the simulated models say: plain English sentences about llamas and water, one token a word. */
import type { Rng } from '../core/types.ts';
import { draw } from './luck.ts';

const subjects = ['the herd', 'a young llama', 'the old shepherd', 'the river', 'a patient cook', 'the morning light'];
const plurals = ['llamas', 'mountain paths', 'clear streams', 'careful hands', 'quiet evenings', 'warm blankets'];
const verbs = ['follows', 'remembers', 'carries', 'waits for', 'listens to', 'walks beside'];
const objects = ['the narrow trail', 'the smell of rain', 'a basket of corn', 'the next village', 'an old song'];
const tails = [
  'before the sun is up',
  'without any hurry',
  'as it has done for years',
  'when the wind turns',
  'and nobody minds',
  'until the valley is quiet',
];
const openers = ['In short,', 'As far as anyone knows,', 'On most days', 'Once more,', 'To begin with,', 'Even so,'];

/** Tokens of one sentence: each word with the blank before it, punctuation as a token of its own. */
function sentence(rng: Rng): string[] {
  const pick = (from: readonly string[]): string => from[draw(rng, from.length)]!;
  const forms = [
    () => `${pick(openers)} ${pick(subjects)} ${pick(verbs)} ${pick(objects)} ${pick(tails)}.`,
    () => `${pick(subjects)} ${pick(verbs)} ${pick(objects)}, and ${pick(plurals)} follow ${pick(tails)}.`,
    () => `There are ${pick(plurals)} where ${pick(subjects)} ${pick(verbs)} ${pick(objects)}.`,
    () => `${pick(plurals)} are worth more than ${pick(plurals)}, ${pick(tails)}.`,
  ];
  const text = forms[draw(rng, forms.length)]!();
  return tokenize(` ${text[0]!.toUpperCase()}${text.slice(1)}`);
}

/** Splits text into the tokens a stream would bring: words with their blank, and single marks. The parts join to the text. */
export function tokenize(text: string): string[] {
  return text.match(/\s*[\p{L}\p{N}]+|\s*[^\s\p{L}\p{N}]|\s+$/gu) ?? [];
}

/** An endless text. The first token has no blank before it. */
export function* speak(rng: Rng): Generator<string, never> {
  let first = true;
  for (;;) {
    for (const token of sentence(rng)) {
      yield first ? token.trimStart() : token;
      first = false;
    }
  }
}

/** `limit` tokens of text, or fewer when it ends by itself after a whole sentence. */
export function say(rng: Rng, limit: number): { readonly tokens: string[]; readonly ended: 'stop' | 'length' } {
  const wanted = 24 + draw(rng, 72);
  const tokens: string[] = [];
  for (const token of speak(rng)) {
    if (tokens.length >= limit) return { tokens, ended: 'length' };
    tokens.push(token);
    if (tokens.length >= wanted && token.endsWith('.')) return { tokens, ended: 'stop' };
  }
  return { tokens, ended: 'stop' };
}

/** About four bytes a token, as the gateway estimates it too. */
export function countTokens(text: string): number {
  return text === '' ? 0 : Math.max(1, Math.ceil(Buffer.byteLength(text) / 4));
}

/** A unit vector that depends on the text and the seed only. */
export function embed(rng: Rng, length: number): number[] {
  const vector = Array.from({ length }, () => rng.next() * 2 - 1);
  const norm = Math.hypot(...vector) || 1;
  return vector.map((x) => Math.fround(x / norm));
}
