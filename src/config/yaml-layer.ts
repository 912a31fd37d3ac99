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
}

export function readYaml(file: string, text: string, variables: Variables): YamlLayer {
  const lines = new LineCounter();
  const whole = parseText(text, lines);
  const broken = whole.errors.find((error) => error.code !== 'DUPLICATE_KEY');
  const trusted =
    broken === undefined ? whole : parseText(text.slice(0, lineStart(text, broken.pos[0])), new LineCounter());
  const reader = new Reader(file, lines, trusted, variables);
  // One syntax error is said: those that follow it are about what the parser guessed.
  if (broken) reader.complain(broken.pos[0], sentence(broken, text));
  for (const error of trusted.errors)
    if (error.code === 'DUPLICATE_KEY') reader.complain(error.pos[0], sentence(error, text));
  const isReadable = trusted.errors.every((error) => error.code === 'DUPLICATE_KEY');
  const value = isReadable ? reader.root() : undefined;
  return {
    layer: { value, where: (path, part) => reader.where(path, part) },
    problems: reader.problems,
    isCut: broken !== undefined,
  };
}

function parseText(text: string, lineCounter: LineCounter): Document.Parsed {
  return parseDocument(text, { lineCounter, uniqueKeys: true, prettyErrors: false, logLevel: 'silent' });
}

function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', Math.max(0, offset - 1)) + 1;
}

class Reader {
  readonly problems: Problem[] = [];
  private readonly places = new Map<string, Place>();
  private nodes = 0;

  // Parameter properties would not survive type stripping.
  private readonly file: string;
  private readonly lines: LineCounter;
  private readonly document: Document;
  private readonly variables: Variables;

  constructor(file: string, lines: LineCounter, document: Document, variables: Variables) {
    this.file = file;
    this.lines = lines;
    this.document = document;
    this.variables = variables;
  }

  root(): unknown {
    const { contents } = this.document;
    return contents ? this.read(contents, []) : undefined;
  }

  complain(offset: number, message: string): void {
    this.problems.push({ origin: this.at(offset), message });
  }

  where(path: Path, part: 'key' | 'value' = 'value'): Origin {
    for (let length = path.length; length > 0; length--) {
      const place = this.places.get(renderPath(path.slice(0, length)));
      // Inside a short form, the short form; around a missing thing, the key of its section.
      const isExact = length === path.length ? part === 'value' : place?.isLeaf;
      if (place) return this.at(isExact ? place.value : place.key);
    }
    return { kind: 'file', file: this.file, line: 1, column: 1 };
  }

  private at(offset: number): Origin {
    const { line, col } = this.lines.linePos(offset);
    return { kind: 'file', file: this.file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  private read(node: Node, path: Path): unknown {
    const offset = node.range?.[0] ?? 0;
    if (++this.nodes > MAX_NODES || path.length > MAX_DEPTH) {
      if (this.nodes !== Infinity) this.complain(offset, 'this is too large or too deep for a configuration');
      this.nodes = Infinity;
      return undefined;
    }
    if (isAlias(node)) {
      const target = node.resolve(this.document);
      if (!target) this.complain(offset, `there is no anchor \`&${node.source}\` before this alias`);
      return target ? this.read(target, path) : undefined;
    }
    if (isMap(node)) return this.map(node.items, path);
    if (isSeq(node)) return node.items.map((item, i) => this.child(item as Node | null, [...path, i], offset));
    return isScalar(node) ? this.scalar(node, offset) : undefined;
  }

  private map(pairs: readonly { key: unknown; value: unknown }[], path: Path): Record<string, unknown> {
    const section: Record<string, unknown> = Object.create(null);
    for (const { key, value } of pairs) {
      const offset = (key as Node | null)?.range?.[0] ?? 0;
      const name = isScalar(key) ? wordOf(key.value) : null;
      if (name === null) {
        this.complain(offset, 'a key is a plain word, and this is not');
        continue;
      }
      section[name] = this.child(value as Node | null, [...path, name], offset);
    }
    return section;
  }

  private child(node: Node | null, path: Path, keyOffset: number): unknown {
    const value = node?.range?.[0] ?? keyOffset;
    const key = typeof path.at(-1) === 'number' ? value : keyOffset;
    this.places.set(renderPath(path), { key, value, isLeaf: isScalar(node) });
    return node ? this.read(node, path) : null;
  }

  private scalar(node: Scalar, offset: number): unknown {
    if (typeof node.value === 'bigint') return Number(node.value);
    if (typeof node.value !== 'string') return node.value;
    const filled = interpolate(node.value, this.variables);
    for (const message of filled.problems) this.complain(offset, message);
    if (filled.problems.length > 0) return undefined;
    return filled.text === node.value ? filled.text : new Filled(filled.text);
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
  DUPLICATE_KEY: 'this key is written twice; keep one of them',
  TAB_AS_INDENT: 'YAML is indented with blanks, and this is a tab',
  MULTIPLE_DOCS: 'a configuration is one document; remove the `---`',
};
