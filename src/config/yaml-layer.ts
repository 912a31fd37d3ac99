/** A YAML file as a layer: its values, `Filled` where they held a `${VAR}`, and the line and column of every key and value. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Scalar,
  type YAMLParseError,
} from 'yaml';
import { interpolate, type Variables } from './interpolate.ts';
import { renderPath, type Layer, type Origin, type Path, type Problem } from './problem.ts';
import { Filled } from './written.ts';

/** More nodes than any real configuration has; what stops aliases of aliases from growing without bound. */
const MAX_NODES = 20_000;
const MAX_DEPTH = 32;
const MAX_BRACKETS = 100;
const TOO_MUCH = 'this is too large or too deep for a configuration';

interface Place {
  readonly key: number;
  readonly value: number;
  readonly isLeaf: boolean;
}

export interface YamlLayer {
  /** What could be read. */
  readonly layer: Layer;
  readonly problems: readonly Problem[];
  /** Whether the text stopped being YAML somewhere: the layer then holds what stands before that, so that things may be missing. */
  readonly isCut: boolean;
  /** Paths whose value could not be had, and why is among the problems. */
  readonly spoilt: readonly Path[];
}

export function readYaml(file: string, text: string, variables: Variables): YamlLayer {
  const lines = new LineCounter();
  const { document, broken } = parseWhole(text, lines);
  const reader = new Reader(file, lines, variables);
  if (broken) reader.complain(broken.offset, broken.message);
  const value = document?.contents ? reader.read(document.contents, []) : undefined;
  return {
    layer: { value, where: (path, part) => reader.where(path, part) },
    problems: reader.problems,
    isCut: broken !== null,
    spoilt: reader.spoilt,
  };
}

interface Parsed {
  /** What can be relied on; null when nothing can. */
  readonly document: Document.Parsed | null;
  /** The first place where the text is not YAML. Those after it would be about what the parser guessed. */
  readonly broken: { readonly offset: number; readonly message: string } | null;
}

function parseWhole(text: string, lines: LineCounter): Parsed {
  const deep = tooDeepAt(text);
  // The parser counts the lines, so that it has to see the text; up to there is enough.
  if (deep !== null)
    return { ...parseWhole(text.slice(0, lineStart(text, deep)), lines), broken: { offset: deep, message: TOO_MUCH } };
  const whole = parseText(text, lines);
  const [error] = whole.errors;
  if (!error) return { document: whole, broken: null };
  const before = parseText(text.slice(0, lineStart(text, error.pos[0])), new LineCounter());
  const broken = { offset: error.pos[0], message: sentence(error, text) };
  return { document: before.errors.length === 0 ? before : null, broken };
}

function parseText(text: string, lineCounter: LineCounter): Document.Parsed {
  // The reader finds keys that are written twice by itself: the parser compares each with each.
  return parseDocument(text, { lineCounter, uniqueKeys: false, prettyErrors: false, logLevel: 'error' });
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', Math.max(0, offset - 1)) + 1;
}

/** Where more brackets are open than any configuration needs: the parser's time grows with the square of their number. */
function tooDeepAt(text: string): number | null {
  let open = 0;
  for (const { 0: bracket, index } of text.matchAll(/[[\]{}]/g)) {
    open = bracket === '[' || bracket === '{' ? open + 1 : Math.max(0, open - 1);
    if (open > MAX_BRACKETS) return index;
  }
  return null;
}

/** Turns nodes into values, and remembers where each stands. */
class Reader {
  readonly problems: Problem[] = [];
  readonly spoilt: Path[] = [];
  readonly #places = new Map<string, Place>();
  readonly #anchors = new Map<string, Node>();
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #variables: Variables;
  #nodes = 0;

  constructor(file: string, lines: LineCounter, variables: Variables) {
    this.#file = file;
    this.#lines = lines;
    this.#variables = variables;
  }

  complain(offset: number, message: string): void {
    this.problems.push({ origin: this.#at(offset), message });
  }

  where(path: Path, part: 'key' | 'value' = 'value'): Origin {
    for (let length = path.length; length > 0; length--) {
      const place = this.#places.get(renderPath(path.slice(0, length)));
      // Inside a short form, the short form; around a missing thing, the key of its section.
      const isExact = length === path.length ? part === 'value' : place?.isLeaf;
      if (place) return this.#at(isExact ? place.value : place.key);
    }
    return { kind: 'file', file: this.#file, line: 1, column: 1 };
  }

  read(node: Node, path: Path): unknown {
    const offset = node.range?.[0] ?? 0;
    if (++this.#nodes > MAX_NODES || path.length > MAX_DEPTH) {
      if (this.#nodes !== Infinity) this.complain(offset, TOO_MUCH);
      this.#nodes = Infinity;
      return undefined;
    }
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target) return this.read(target, path);
      return this.#spoil(path, offset, `there is no anchor \`&${node.source}\` before this alias`);
    }
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isMap(node)) return this.#map(node.items, path);
    if (isSeq(node)) return node.items.map((item, i) => this.#child(item as Node | null, [...path, i], offset));
    return isScalar(node) ? this.#scalar(node, path) : undefined;
  }

  #map(pairs: readonly { key: unknown; value: unknown }[], path: Path): Record<string, unknown> {
    const section: Record<string, unknown> = Object.create(null);
    for (const { key, value } of pairs) {
      const offset = (key as Node | null)?.range?.[0] ?? 0;
      const name = isScalar(key) ? wordOf(key.value) : null;
      if (name === null) this.complain(offset, 'a key is a plain word, and this is not');
      else if (Object.hasOwn(section, name)) this.complain(offset, 'this key is written twice; keep one of them');
      else section[name] = this.#child(value as Node | null, [...path, name], offset);
    }
    return section;
  }

  #child(node: Node | null, path: Path, keyOffset: number): unknown {
    const value = node?.range?.[0] ?? keyOffset;
    const key = typeof path.at(-1) === 'number' ? value : keyOffset;
    this.#places.set(renderPath(path), { key, value, isLeaf: isScalar(node) });
    return node ? this.read(node, path) : null;
  }

  #scalar(node: Scalar, path: Path): unknown {
    if (typeof node.value === 'bigint') return Number(node.value);
    if (typeof node.value !== 'string') return node.value;
    const filled = interpolate(node.value, this.#variables);
    if (filled.problems.length > 0) return this.#spoil(path, node.range?.[0] ?? 0, ...filled.problems);
    return filled.text === node.value ? filled.text : new Filled(filled.text);
  }

  #spoil(path: Path, offset: number, ...messages: readonly string[]): undefined {
    for (const message of messages) this.complain(offset, message);
    this.spoilt.push(path);
  }

  #at(offset: number): Origin {
    const { line, col } = this.#lines.linePos(offset);
    return { kind: 'file', file: this.#file, line: Math.max(1, line), column: Math.max(1, col) };
  }
}

function wordOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}

function sentence(error: YAMLParseError, text: string): string {
  const line = text.slice(lineStart(text, error.pos[0])).split('\n', 1)[0]!;
  if (/[[{].*[^"'$]\$\{/.test(line)) return 'not YAML: inside `[ ]` or `{ }`, put quotes around `"${VAR}"`';
  return SENTENCES[error.code] ?? `not YAML: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`;
}

const SENTENCES: Readonly<Partial<Record<YAMLParseError['code'], string>>> = {
  RESOURCE_EXHAUSTION: TOO_MUCH,
  TAB_AS_INDENT: 'YAML is indented with blanks, and this is a tab',
  MULTIPLE_DOCS: 'a configuration is one document; remove the `---`',
};
