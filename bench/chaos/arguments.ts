/** What can be asked of `npm run chaos`. */
import { parseArgs } from 'node:util';

export const usage = `npm run chaos -- [options]

  --quick          each scenario in a small form, within 20 s
  --only G1,G4     these scenarios
  --seed N         luck to begin with (1)
  --keep           keep the histories of scenarios that went well, too
  --check FILE     check a history that was kept, and nothing else
  --mutants        break the gateway on purpose, and see that each break is caught
  --list           say what there is
`;

export interface ChaosOptions {
  readonly quick: boolean;
  /** Upper case; null for all. */
  readonly only: readonly string[] | null;
  readonly seed: number;
  readonly keep: boolean;
  readonly check: string | null;
  readonly mutants: boolean;
  readonly list: boolean;
}

/** Throws an Error with a sentence when something asked for makes no sense. */
export function readArguments(argv: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      seed: { type: 'string', default: '1' },
      keep: { type: 'boolean', default: false },
      check: { type: 'string' },
      mutants: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
    },
  });
  const seed = Number(values.seed);
  if (!Number.isInteger(seed)) throw new Error(`--seed takes a whole number, not ${values.seed}`);
  const only = values.only?.split(',').map((name) => name.trim()) ?? null;
  return {
    quick: values.quick,
    only,
    seed,
    keep: values.keep,
    check: values.check ?? null,
    mutants: values.mutants,
    list: values.list,
  };
}
