/** What can be asked of `npm run bench`. */
import { parseArgs } from 'node:util';

export const usage = `npm run bench -- [options]

  --quick            shorter windows, one round, nothing written
  --rounds N         rounds of there and back again (3)
  --only A,B         of small, paced, streams, memory
  --targets A,B      of llamero, nginx, haproxy (direct is always measured)
  --bare             also Llamero with nothing but warnings in its log
  --reference        also node:http with undici and no features
  --cpu-prof DIR     CPU profiles of the Node-based proxies, for reading, not for figures
  --no-write         do not write bench/results/overhead-<date>.json
`;

const parts = ['small', 'paced', 'streams', 'memory'] as const;
export type Part = (typeof parts)[number];

export interface BenchOptions {
  readonly quick: boolean;
  readonly rounds: number;
  readonly parts: ReadonlySet<Part>;
  /** Names of the proxies wanted, installed or not. */
  readonly targets: readonly string[];
  readonly profileDirectory: string | null;
  readonly write: boolean;
}

/** Throws an Error with a sentence when something asked for makes no sense. */
export function readArguments(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      targets: { type: 'string' },
      bare: { type: 'boolean', default: false },
      reference: { type: 'boolean', default: false },
      'cpu-prof': { type: 'string' },
      'no-write': { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds takes a number from 1, not ${values.rounds}`);
  const targets = values.targets?.split(',') ?? ['llamero', 'nginx', 'haproxy'];
  if (values.bare) targets.push('llamero-bare');
  if (values.reference) targets.push('reference');
  return {
    quick: values.quick,
    rounds,
    parts: new Set(values.only === undefined ? parts : values.only.split(',').map(partOf)),
    targets,
    profileDirectory: values['cpu-prof'] ?? null,
    write: !values.quick && !values['no-write'] && values['cpu-prof'] === undefined,
  };
}

function partOf(name: string): Part {
  const part = parts.find((one) => one === name);
  if (part === undefined) throw new Error(`--only takes ${parts.join(', ')}, not ${name}`);
  return part;
}
