/** Reads a body the slow way, from its decoded tree, as the fast readers must read it. */
import { canonicalModelName } from '../../src/core/model-name.ts';
import type { Reading, Route } from '../../src/dialects/dialect.ts';
import { decodeGoJson, GoNumber, GoObject, type GoValue } from '../../src/dialects/go-json.ts';

type Read = Omit<Reading, 'promptTokens' | 'prefix' | 'session'>;

/** How Go matches a key with a name, written down a second time. */
function matches(key: string, name: string): boolean {
  const letters = Array.from(
    name,
    (char) => ({ s: '[sS\u017F]', k: '[kK\u212A]' })[char] ?? `[${char}${char.toUpperCase()}]`,
  );
  return new RegExp(`^${letters.join('')}$`).test(key);
}

function all(body: GoValue, name: string): readonly GoValue[] {
  return body instanceof GoObject ? body.entries.filter(([key]) => matches(key, name)).map(([, value]) => value) : [];
}

function text(body: GoValue, name: string): string | null {
  return all(body, name).findLast((value) => typeof value === 'string') ?? null;
}

function flag(value: GoValue | undefined): boolean | null {
  return typeof value === 'boolean' ? value : null;
}

function keepAliveMs(body: GoValue): number | null {
  const value = all(body, 'keep_alive').at(-1);
  if (value instanceof GoNumber) {
    const seconds = Number(value.text);
    return seconds * 1e9 <= -1 ? Number.POSITIVE_INFINITY : Math.trunc(seconds * 1e9) / 1e6;
  }
  return { '5m': 300_000, '0s': 0, '-1s': Number.POSITIVE_INFINITY }[typeof value === 'string' ? value : ''] ?? null;
}

function optionsOf(body: GoValue): Map<string, number | boolean> {
  const stated = new Map<string, number | boolean>();
  for (const options of all(body, 'options')) {
    if (!(options instanceof GoObject)) {
      stated.clear();
      continue;
    }
    for (const [key, value] of options.entries) {
      if (value instanceof GoNumber) {
        stated.set(key, Math.trunc(Number(value.text)));
      } else if (typeof value === 'boolean') {
        stated.set(key, value);
      }
    }
  }
  return stated;
}

function runnerOptions(body: GoValue, hasShift: boolean): string {
  const stated = optionsOf(body);
  const shift = hasShift ? flag(all(body, 'shift').at(-1)) : null;
  return ['main_gpu', 'num_batch', 'num_ctx', 'num_gpu', 'num_thread', 'use_mmap']
    .filter((name) => stated.has(name))
    .map((name) => `${name}=${stated.get(name)}`)
    .concat(shift === null ? [] : [`shift=${shift}`])
    .filter((option) => !['num_gpu=-1', 'num_thread=0', 'shift=true'].includes(option))
    .toSorted()
    .join(',');
}

function isEmptyList(value: GoValue | undefined): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
}

function positive(value: GoValue | undefined): number | null {
  const number = value instanceof GoNumber ? Math.trunc(Number(value.text)) : 0;
  return number > 0 ? number : null;
}

const SEEN: Readonly<Record<string, string>> = {
  '/api/chat': 'model messages tools stream keep_alive options shift',
  '/api/generate': 'model prompt system template suffix images context stream keep_alive options shift',
  '/api/embed': 'model input keep_alive options',
  '/api/pull': 'model name stream',
  '/api/create': 'model name from files adapters draft_files stream',
  '/v1/chat/completions':
    'model messages prompt input tools stream stream_options max_tokens max_completion_tokens prompt_cache_key',
  '/v1/responses': 'model input instructions tools stream max_output_tokens prompt_cache_key',
  '/v1/messages': 'model messages system tools stream max_tokens metadata',
};

export function referenceReading(route: Route, bytes: Buffer): Read {
  const body = decodeGoJson(bytes).value;
  const entries = body instanceof GoObject ? body.entries : [];
  const seen = SEEN[route.path]!.split(' ');
  const counts = seen.map((name) => entries.filter(([key]) => matches(key, name)).map(([key]) => key));
  const common: Read = {
    modelText: text(body, 'model'),
    model: null,
    stream: false,
    task: 'generate',
    runnerOptions: '',
    maxOutputTokens: null,
    wantsUsage: false,
    keepAliveMs: null,
    others: {},
    digests: [],
    ambiguous: counts.some((keys, index) => keys.length > 1 || (keys.length === 1 && keys[0] !== seen[index])),
  };
  const reading = { ...common, ...specific(route, body) };
  return { ...reading, model: reading.modelText === null ? null : canonicalModelName(reading.modelText) };
}

function specific(route: Route, body: GoValue): Partial<Read> {
  switch (route.path) {
    case '/api/chat':
    case '/api/generate':
    case '/api/embed':
      return native(route, body);
    case '/api/pull':
      return { modelText: managed(body), stream: flag(all(body, 'stream').at(-1)) ?? true };
    case '/api/create':
      return create(body);
    default:
      return compatible(route, body);
  }
}

function native(route: Route, body: GoValue): Partial<Read> {
  const input = all(body, 'input').at(-1);
  const isEmpty =
    route.path === '/api/chat' ? isEmptyList(all(body, 'messages').at(-1)) : (text(body, 'prompt') ?? '') === '';
  const keepAlive = keepAliveMs(body);
  const emptyTask = keepAlive === 0 ? 'unload' : 'load';
  const fullTask = route.path === '/api/chat' ? 'chat' : 'generate';
  const limit = optionsOf(body).get('num_predict');
  return {
    stream: route.path === '/api/embed' ? false : (flag(all(body, 'stream').at(-1)) ?? true),
    task:
      route.path === '/api/embed'
        ? isEmptyList(input) || input === ''
          ? 'load'
          : 'embed'
        : isEmpty
          ? emptyTask
          : fullTask,
    runnerOptions: runnerOptions(body, route.path !== '/api/embed'),
    maxOutputTokens: typeof limit === 'number' && limit > 0 ? limit : null,
    keepAliveMs: keepAlive,
  };
}

function managed(body: GoValue): string | null {
  const model = text(body, 'model');
  return model === null || model === '' ? (text(body, 'name') ?? model) : model;
}

function create(body: GoValue): Partial<Read> {
  const from = text(body, 'from');
  const files = ['files', 'adapters', 'draft_files'].flatMap((name) => all(body, name));
  const digests = files.flatMap((value) =>
    value instanceof GoObject ? value.entries.map(([, digest]) => digest) : [],
  );
  return {
    modelText: managed(body),
    stream: flag(all(body, 'stream').at(-1)) ?? true,
    others: from === null ? {} : { from },
    digests: [...new Set(digests.filter((digest) => typeof digest === 'string'))],
  };
}

function compatible(route: Route, body: GoValue): Partial<Read> {
  const exact = body instanceof GoObject ? body.entries.findLast(([key]) => key === 'model')?.[1] : undefined;
  const isCloud = typeof exact === 'string' && /(?::|-)cloud$/.test(canonicalModelName(exact) ?? '');
  const stream = all(body, 'stream');
  const isResponses = route.path === '/v1/responses';
  const limits = isResponses ? ['max_output_tokens'] : ['max_completion_tokens', 'max_tokens'];
  const plain = route.path === '/v1/messages';
  const numbers = limits
    .filter((name) => !plain || name === 'max_tokens')
    .map((name) => (plain ? all(body, name).findLast((value) => value !== null) : all(body, name).at(-1)));
  const stated = numbers.find((value) => value instanceof GoNumber);
  let wantsUsage = false;
  for (const options of route.path === '/v1/chat/completions' ? all(body, 'stream_options') : []) {
    const inner = all(options, 'include_usage').findLast((value) => typeof value === 'boolean');
    wantsUsage = options instanceof GoObject ? (flag(inner) ?? wantsUsage) : false;
  }
  return {
    ...(isCloud && { modelText: exact }),
    stream: flag(isResponses ? stream.at(-1) : stream.findLast((value) => value !== null)) ?? false,
    task: 'chat',
    maxOutputTokens: positive(stated),
    wantsUsage,
  };
}
