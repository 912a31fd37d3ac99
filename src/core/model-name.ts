/**
 * Model names as Ollama resolves them (ollama-wire §4), so that every spelling of one model is one name to the router and to
 * an allow-list. The spelling itself is what is forwarded: Ollama echoes it.
 *
 * Grammar `[scheme://][host/][namespace/]model[:tag][:local|:cloud]`; blanks around it are dropped, letters fold to lower
 * case, and `registry.ollama.ai`, `library` and `latest` are what a missing part means. `gpt-oss:20b:cloud` and
 * `gpt-oss:20b-cloud` are one cloud model; its name here is the one its stub has in `/api/tags`.
 */
import type { ModelName } from './types.ts';

const DEFAULT_HOST = 'registry.ollama.ai';
const DEFAULT_NAMESPACE = 'library';
const DEFAULT_TAG = 'latest';

const MAX_PART_LENGTH = 80;
const MAX_HOST_LENGTH = 350;

/** Where a name says the model is to be run: nothing said, `:local`, or `:cloud` and `-cloud`. */
export type ModelSource = 'unspecified' | 'local' | 'cloud';

/** The parts of a valid name, in the case they were written, defaults filled in. */
export interface ModelNameParts {
  readonly host: string;
  readonly namespace: string;
  readonly model: string;
  /** Without the cloud suffix: `20b` for `gpt-oss:20b-cloud`. */
  readonly tag: string;
  readonly source: ModelSource;
}

/** Why a text names no model: it is blank, it says both `:local` and `:cloud`, or a part of it is not well formed. */
export type ModelNameProblem = 'missing' | 'conflicting-source' | 'invalid';

/** The canonical name of what Ollama would run for `text`, or null when it would refuse the name. */
export function canonicalModelName(text: string): ModelName | null {
  const parts = parseModelName(text);
  return typeof parts === 'string' ? null : canonicalOf(parts);
}

/** Parses `text` as Ollama does; a string names the problem. */
export function parseModelName(text: string): ModelNameParts | ModelNameProblem {
  const trimmed = trimGoSpace(text);
  if (trimmed === '') {
    return 'missing';
  }
  const { base, source } = cutSource(trimmed);
  if (source !== 'unspecified' && cutSource(base).source !== 'unspecified') {
    return 'conflicting-source';
  }
  return parseBase(base, source);
}

/** True when the name can only be run by ollama.com: any signed-in backend serves it and none needs the model. */
export function isCloudModel(name: ModelName): boolean {
  const tag = name.slice(name.lastIndexOf(':') + 1);
  return tag === 'cloud' || tag.endsWith('-cloud');
}

/** The name as Ollama prints it in some errors: defaults of host and namespace left out, the case kept, the tag always there. */
export function displayName(parts: ModelNameParts): string {
  return `${displayPrefix(parts)}${parts.model}:${parts.tag}`;
}

/**
 * The known names most like `wanted`, best first, for an error message. A name is like another when it is the same model
 * with another tag, or differs by few edits; names longer than any real one are like none.
 */
export function nearModelNames(wanted: ModelName, known: Iterable<ModelName>, limit = 3): readonly ModelName[] {
  const most = Math.max(2, Math.floor(wanted.length / 3));
  const ranked: { readonly name: ModelName; readonly distance: number }[] = [];
  for (const name of wanted.length > MAX_LIKENED_LENGTH ? [] : known) {
    const distance = Math.abs(name.length - wanted.length) > 2 * most ? most + 1 : unlikeness(wanted, name);
    if (distance <= most) {
      ranked.push({ name, distance });
    }
  }
  ranked.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return ranked.slice(0, limit).map((entry) => entry.name);
}

const MAX_LIKENED_LENGTH = 120;

function canonicalOf(parts: ModelNameParts): ModelName {
  const tag = parts.source === 'cloud' ? cloudTag(parts.tag) : parts.tag;
  return `${displayPrefix(parts)}${parts.model}:${tag}`.toLowerCase();
}

function cloudTag(tag: string): string {
  return tag.toLowerCase() === DEFAULT_TAG ? 'cloud' : `${tag}-cloud`;
}

function displayPrefix(parts: ModelNameParts): string {
  if (parts.host.toLowerCase() !== DEFAULT_HOST) {
    return `${parts.host}/${parts.namespace}/`;
  }
  return parts.namespace.toLowerCase() === DEFAULT_NAMESPACE ? '' : `${parts.namespace}/`;
}

/** Splits off `:local`, `:cloud` or the `-cloud` of a tag; the blanks Ollama allows after the colon go with it. */
function cutSource(text: string): { readonly base: string; readonly source: ModelSource } {
  const colon = text.lastIndexOf(':');
  if (colon < 0) {
    return { base: text, source: 'unspecified' };
  }
  const suffix = trimGoSpace(text.slice(colon + 1));
  const folded = suffix.toLowerCase();
  if (folded === 'cloud' || folded === 'local') {
    return { base: text.slice(0, colon), source: folded };
  }
  if (!suffix.includes('/') && folded.endsWith('-cloud')) {
    return { base: text.slice(0, colon + 1) + suffix.slice(0, -'-cloud'.length), source: 'cloud' };
  }
  return { base: text, source: 'unspecified' };
}

function parseBase(base: string, source: ModelSource): ModelNameParts | 'invalid' {
  let rest = base;
  let tag = DEFAULT_TAG;
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
  }
  const afterNamespace = rest.lastIndexOf('/');
  const model = rest.slice(afterNamespace + 1);
  let namespace = DEFAULT_NAMESPACE;
  let host = DEFAULT_HOST;
  if (afterNamespace >= 0) {
    rest = rest.slice(0, afterNamespace);
    const afterHost = rest.lastIndexOf('/');
    namespace = rest.slice(afterHost + 1);
    host = afterHost < 0 ? DEFAULT_HOST : hostOf(rest.slice(0, afterHost));
  }
  const valid =
    isPart(model, /^\w[\w.-]*$/) &&
    isPart(tag, /^\w[\w.-]*$/) &&
    isPart(namespace, /^\w[\w-]*$/) &&
    host.length <= MAX_HOST_LENGTH &&
    /^\w[\w.:-]*$/.test(host);
  return valid ? { host, namespace, model, tag, source } : 'invalid';
}

/** The host without its scheme. A scheme with nothing behind it means the default host, as it does to Ollama. */
function hostOf(text: string): string {
  const scheme = text.indexOf('://');
  if (scheme < 0) {
    return text;
  }
  const host = text.slice(scheme + '://'.length);
  return host === '' ? DEFAULT_HOST : host;
}

function isPart(text: string, pattern: RegExp): boolean {
  return text.length <= MAX_PART_LENGTH && pattern.test(text);
}

/** What Go's strings.TrimSpace takes: unlike JavaScript's trim it takes U+0085 and leaves U+FEFF. */
const GO_SPACE = /[\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]/;

function trimGoSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && GO_SPACE.test(text[start]!)) {
    start++;
  }
  while (end > start && GO_SPACE.test(text[end - 1]!)) {
    end--;
  }
  return text.slice(start, end);
}

function unlikeness(wanted: ModelName, known: ModelName): number {
  const base = wanted.slice(0, wanted.lastIndexOf(':'));
  const knownBase = known.slice(0, known.lastIndexOf(':'));
  return base === knownBase ? 0.5 : Math.min(editDistance(wanted, known), editDistance(base, knownBase) + 1);
}

/** Levenshtein's distance; names are at most some hundred characters. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
