/** Where a value came from, and what is wrong with it, said so that a person can go there and fix it. */

/** Keys and list indices from the root of the configuration. */
export type Path = readonly (string | number)[];

export type Origin =
  | { readonly kind: 'default' }
  /** Line and column count from 1; 0 when the file as a whole is meant. */
  | { readonly kind: 'file'; readonly file: string; readonly line: number; readonly column: number }
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'flag'; readonly name: string };

export interface Problem {
  readonly origin: Origin;
  readonly message: string;
}

/** Values of one source, with the way back to it. */
export interface Layer {
  readonly value: unknown;
  /** The place of the value at the path, of its key when `part` is `key`, or of the nearest thing around it. */
  where(path: Path, part?: 'key' | 'value'): Origin;
}

/** One line a problem: `llamero.yaml:4:3: …`, `LLAMERO_QUEUE_LIMIT: …`, `--listen: …`. */
export function renderProblem(problem: Problem): string {
  const place = renderOrigin(problem.origin);
  return problem.origin.kind === 'default' ? problem.message : `${place}: ${problem.message}`;
}

export function renderOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'file':
      return origin.line === 0 ? origin.file : `${origin.file}:${origin.line}:${origin.column}`;
    case 'env':
    case 'flag':
      return origin.name;
  }
}

/** `backends[0].url`; the root is ''. */
export function renderPath(path: Path): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('');
}

/** Flags first, then the environment, then the file from top to bottom: the order in which a person can act on them. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  const rank = { flag: 0, env: 1, file: 2, default: 3 };
  const key = ({ origin }: Problem): [number, number, number] =>
    origin.kind === 'file' ? [rank.file, origin.line, origin.column] : [rank[origin.kind], 0, 0];
  return problems.toSorted((a, b) => {
    const [first, second] = [key(a), key(b)];
    return first[0] - second[0] || first[1] - second[1] || first[2] - second[2];
  });
}
