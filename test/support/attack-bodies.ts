/**
 * Request bodies made to be read in two ways, the same ones every time: duplicates, keys in other letters, escapes, encodings,
 * numbers at their edges, nesting, text after the end, and names that mean something to JavaScript.
 */
import type { Rng } from '../../src/core/types.ts';
import { below, seededRng } from './random.ts';

export const attackedRoutes = [
  '/api/generate',
  '/api/chat',
  '/api/embed',
  '/v1/chat/completions',
  '/api/copy',
] as const;

export interface Attack {
  readonly route: (typeof attackedRoutes)[number];
  readonly body: Buffer;
}

export const attackCount = 4000;

export function attackBodies(): readonly Attack[] {
  const rng = seededRng(7);
  return Array.from({ length: attackCount }, (_, i) => {
    const route = attackedRoutes[i % attackedRoutes.length]!;
    return { route, body: wrapped(bodyFor(route, rng), rng) };
  });
}

function pick<T>(rng: Rng, from: readonly T[]): T {
  return from[below(rng, from.length)]!;
}

const models = ['tiny', 'tiny', 'Tiny:latest', 'evil', 'evil:cloud', 'registry.ollama.ai/library/evil', ' evil ', ''];
const numbers = [
  '1',
  '50',
  '4096',
  '4097',
  '64',
  '65',
  '99999',
  '-1',
  '-2',
  '0',
  '-0',
  '1e3',
  '1e300',
  '1e400',
  '9007199254740993',
  '12.7',
];
const odd = ['null', 'true', '"8"', '[]', '{}', '[1]', '01', '+1', '.5', 'NaN', '0x10', '""'];
const images = ['[]', '["aGk="]', '["aGk=","aGk=","aGk="]', 'null', '["aGk=",null]'];
const texts = [
  '"hi"',
  '""',
  '"\\u0068i"',
  '"\\ud800"',
  '"a\\"},{\\"model\\":\\"evil\\""',
  '"\u{1F600}"',
  'null',
  '"\\u0000"',
];

/** Values in the ways a client may write them, and in some it may not. */
function valueOf(name: string, rng: Rng): string {
  if (below(rng, 40) === 0) return pick(rng, odd);
  switch (name) {
    case 'model':
    case 'source':
    case 'destination':
      return spelledString(pick(rng, models), rng);
    case 'messages':
      return `[${Array.from({ length: below(rng, 4) }, () => message(rng)).join(',')}]`;
    case 'options':
      return options(rng);
    case 'keep_alive':
      return pick(rng, [
        '0',
        '-1',
        '300',
        '"5m"',
        '"0s"',
        '"-1s"',
        '"1000h"',
        '"+5m"',
        '"5"',
        '1e-12',
        '1e300',
        '"1h1"',
        'null',
      ]);
    case 'images':
      return pick(rng, images);
    case 'context':
      return pick(rng, ['[1,2]', '[]', 'null', '[1.5]']);
    case 'raw':
    case '_debug_render_only':
    case 'shift':
    case 'stream':
      return pick(rng, ['true', 'false', 'null', 'true']);
    case 'input':
      return pick(rng, ['"a"', '""', '[]', '["a","b"]', '["a","b","c","d"]', '[[1],[2],[3]]', 'null', '{"a":1}']);
    case 'max_tokens':
    case 'max_completion_tokens':
      return pick(rng, numbers);
    case '__proto__':
    case 'constructor':
      return pick(rng, ['{"model":"evil"}', '{"prototype":{"model":"evil"}}', '[]']);
    default:
      return pick(rng, texts);
  }
}

function message(rng: Rng): string {
  const content = pick(rng, [
    ...texts,
    '[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:,"}}]',
    '[{"type":"image_url","image_url":"x"},{"type":"image_url","image_url":"y"}]',
  ]);
  const members = [`"role":"user"`, `"${spelledKey('content', rng)}":${content}`];
  if (below(rng, 3) === 0) members.push(`"${spelledKey('images', rng)}":${pick(rng, images)}`);
  if (below(rng, 8) === 0) members.push(`"images":${pick(rng, images)}`);
  return `{${members.join(',')}}`;
}

function options(rng: Rng): string {
  const names = [
    'num_ctx',
    'num_ctx',
    'num_predict',
    'num_predict',
    'num_gpu',
    'use_mmap',
    'temperature',
    'NUM_CTX',
    'num\\u005fctx',
  ];
  const members = Array.from({ length: below(rng, 4) }, () => {
    const name = pick(rng, names);
    const value = name === 'use_mmap' ? pick(rng, ['true', 'false', 'null']) : pick(rng, [...numbers, 'null']);
    return `"${name}":${value}`;
  });
  return pick(rng, [`{${members.join(',')}}`, `{${members.join(',')}}`, `{${members.join(' , ')} }`, 'null']);
}

const fields: Readonly<Record<Attack['route'], readonly string[]>> = {
  '/api/generate': [
    'prompt',
    'suffix',
    'template',
    'context',
    'raw',
    'keep_alive',
    'images',
    'options',
    'shift',
    '_debug_render_only',
  ],
  '/api/chat': ['messages', 'messages', 'keep_alive', 'options', 'shift', '_debug_render_only', 'stream'],
  '/api/embed': ['input', 'input', 'keep_alive', 'options'],
  '/v1/chat/completions': ['messages', 'messages', 'max_tokens', 'max_completion_tokens', 'options', 'stream'],
  '/api/copy': ['source', 'destination', 'destination'],
};

function bodyFor(route: Attack['route'], rng: Rng): string {
  // Half of them are odd only in what they ask for, so that it is looked at.
  const isOdd = below(rng, 2) === 0;
  const main = route === '/api/copy' ? 'source' : 'model';
  const names = [main, ...new Set(fields[route].filter(() => below(rng, 3) > 0))];
  if (isOdd && below(rng, 3) === 0) names.push(pick(rng, names));
  if (isOdd && below(rng, 3) === 0) names.push(main);
  if (below(rng, 8) === 0)
    names.push(pick(rng, ['__proto__', 'constructor', 'toString', 'model ', 'mo\\u0000del', 'model\\u200b', 'mοdel']));
  const members = names
    .map((name) => ({ name, at: rng.next() }))
    .sort((a, b) => a.at - b.at)
    .map(
      ({ name }) =>
        `${blank(rng)}"${isOdd ? spelledKey(name, rng) : name}"${blank(rng)}:${blank(rng)}${valueOf(name, rng)}`,
    );
  return `${blank(rng)}{${members.join(',')}${blank(rng)}}`;
}

function blank(rng: Rng): string {
  return pick(rng, [
    '',
    '',
    '',
    '',
    ' ',
    '\n',
    '\t',
    '\r\n',
    below(rng, 40) === 0 ? '\u00a0' : '',
    below(rng, 40) === 0 ? '/**/' : '',
  ]);
}

/** A key as it is, or in one of the ways in which Go takes it for the same, or nearly so. */
function spelledKey(name: string, rng: Rng): string {
  const how = below(rng, 14);
  if (how === 0) return name.toUpperCase();
  if (how === 1) return name[0]!.toUpperCase() + name.slice(1);
  if (how === 2) return name.replaceAll('s', '\u017f').replaceAll('k', '\u212a');
  if (how === 3) return name.replace('s', '\\u017F').replace('k', '\\u212a');
  if (how === 4) return name.replace(/[a-z]/, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
  if (how === 5 && below(rng, 3) === 0) return `${name}\\u0000`;
  return name;
}

function spelledString(text: string, rng: Rng): string {
  if (below(rng, 4) > 0) return `"${text}"`;
  return `"${text.replace(/[a-z]/, (char) => `\\u00${char.charCodeAt(0).toString(16)}`)}"`;
}

const afterwards = ['', '', '', '', ' ', '\n', '{"model":"evil"}', ',"model":"evil"}', 'x', '\0', ']', '\u2028'];

/** The text as bytes, sometimes not those of UTF-8, sometimes with something before or behind it, sometimes cut. */
function wrapped(text: string, rng: Rng): Buffer {
  const whole = text + pick(rng, afterwards);
  switch (below(rng, 40)) {
    case 0:
      return Buffer.from(`\ufeff${whole}`);
    case 1:
      return Buffer.from(whole, 'utf16le');
    case 2:
      return Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(whole, 'utf16le')]);
    case 3:
      return Buffer.from(whole, 'latin1');
    case 4:
      return Buffer.from(text).subarray(0, below(rng, text.length));
    case 5:
      return Buffer.from(`[${whole}]`);
    case 6:
      return Buffer.from(whole.replace('"tiny"', '"tiny\xff"'), 'latin1');
    case 7:
      return Buffer.from(`${'['.repeat(10_001)}${whole}`);
    case 8:
      return Buffer.from(whole.replace('{', `{"deep":${'['.repeat(9_000)}${']'.repeat(9_000)},`));
    case 9:
      return Buffer.from(whole.replace('{', `{"deep":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)},`));
    case 10:
      return Buffer.from(whole.replace(':', ''));
    default:
      return Buffer.from(whole);
  }
}
