/** Arbitrary request bodies as a hostile or careless client might write them: all JSON that Go takes, in every spelling of it. */
import fc from 'fast-check';

const blanks = fc.constantFrom('', '', '', ' ', '\n', '\t ', '\r\n');

/** One character of a string in one of the ways it can be written. */
function spelledCharacter(char: string, how: number): string {
  const code = char.charCodeAt(0);
  if (how === 1 || code < 0x20) {
    return `\\u${code.toString(16).padStart(4, '0')}`;
  }
  if (char === '"' || char === '\\' || (how === 2 && char === '/')) {
    return `\\${char}`;
  }
  return char;
}

/** A JSON string for `text`, some characters escaped. */
export function spelledString(text: string): fc.Arbitrary<string> {
  return fc.array(fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2), { minLength: text.length, maxLength: text.length }).map(
    (hows) =>
      `"${Array.from(text)
        .map((char, index) => spelledCharacter(char, char.length > 1 ? 0 : hows[index]!))
        .join('')}"`,
  );
}

/** The name, mostly as it is, else in another case or with the letters that Unicode folds. */
function spelledName(name: string): fc.Arbitrary<string> {
  const odd = fc.array(fc.nat(2), { minLength: name.length, maxLength: name.length }).map((hows) =>
    Array.from(name)
      .map((char, index) => {
        if (hows[index] === 1) {
          return char.toUpperCase();
        }
        return hows[index] === 2 ? ({ s: '\u017F', k: '\u212A' }[char] ?? char) : char;
      })
      .join(''),
  );
  return fc.oneof({ weight: 4, arbitrary: fc.constant(name) }, { weight: 1, arbitrary: odd });
}

const text = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    'tiny',
    'Tiny:LATEST',
    'gpt-oss:20b-cloud',
    'x"y',
    '\\',
    '\\"',
    'é',
    '😀',
    '{"model":"evil"}',
    ',',
  ),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constant('long "quoted"\\ '.repeat(6)),
);

const scalar = fc.oneof(
  text.chain(spelledString),
  fc.constantFrom(
    'null',
    'true',
    'false',
    '0',
    '-1',
    '8',
    '2048',
    '2048.7',
    '1e3',
    '-0',
    '12345678901234567890',
    '0.5',
  ),
);

function object(members: readonly (readonly [fc.Arbitrary<string>, fc.Arbitrary<string>])[]): fc.Arbitrary<string> {
  return fc
    .tuple(...members.map(([key, value]) => fc.tuple(key.chain(spelledString), value, blanks, blanks)))
    .map((written) => `{${written.map(([key, value, a, b]) => `${a}${key}${b}:${a}${value}${b}`).join(',')}}`);
}

function list(element: fc.Arbitrary<string>, maxLength = 4): fc.Arbitrary<string> {
  return fc
    .tuple(fc.array(fc.tuple(element, blanks), { maxLength }), blanks)
    .map(([elements, a]) => `[${a}${elements.map(([value, b]) => value + b).join(',')}]`);
}

/** Any JSON value, some levels deep. */
const anything: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    list(tie('value'), 3),
    fc
      .array(fc.tuple(text, tie('value')), { maxLength: 3 })
      .chain((members) => object(members.map(([key, value]) => [fc.constant(key), fc.constant(value)] as const))),
  ),
})).value;

const message = fc
  .subarray(['role', 'content', 'images', 'thinking', 'cache_control', 'tool_calls'] as const, { minLength: 1 })
  .chain((keys) =>
    object(keys.map((key) => [spelledName(key), fc.oneof(text.chain(spelledString), anything)] as const)),
  );

const innerNames = [
  'num_ctx',
  'num_predict',
  'num_gpu',
  'use_mmap',
  'temperature',
  'include_usage',
  'user_id',
  'a.gguf',
];
const settings = fc
  .array(fc.tuple(fc.constantFrom(...innerNames), scalar), { maxLength: 4 })
  .chain((members) => object(members.map(([key, value]) => [spelledName(key), fc.constant(value)] as const)));

/** Every field that some dialect reads, and some that none does. */
const names = [
  ...'model name source destination from files adapters stream stream_options options shift keep_alive prompt'.split(
    ' ',
  ),
  ...'messages system template suffix context images input instructions tools max_tokens metadata'.split(' '),
  ...'max_completion_tokens max_output_tokens prompt_cache_key seed model2 "model": user'.split(' '),
];

function valueOf(name: string): fc.Arbitrary<string> {
  switch (name) {
    case 'messages':
    case 'input':
      return fc.oneof(list(message), list(message), scalar, anything);
    case 'options':
    case 'stream_options':
    case 'metadata':
    case 'files':
      return fc.oneof(settings, settings, fc.constant('null'), anything);
    case 'keep_alive':
      return fc.constantFrom('0', '-1', '300', '"5m"', '"0s"', '"-1s"', '"300"', 'null', '1e-12', 'true');
    case 'model':
    case 'prompt':
      return fc.oneof(text.chain(spelledString), text.chain(spelledString), scalar);
    case 'stream':
    case 'shift':
      return fc.constantFrom('true', 'false', 'null', '"true"', '1');
    default:
      return fc.oneof(scalar, anything);
  }
}

/** A body that Go's decoder takes, which may name any field any number of times under any spelling. */
export const takenBody: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(fc.constantFrom(...names, 'model', 'model', 'messages', 'prompt', 'stream', 'options'), { maxLength: 9 }),
    blanks,
  )
  .chain(([chosen, before]) =>
    fc
      .tuple(
        object(chosen.map((name) => [spelledName(name), valueOf(name)] as const)),
        fc.constantFrom('', '', '\n', ' trailing', '{"model":"evil"}', '}'),
      )
      .map(([body, after]) => before + body + after),
  );
