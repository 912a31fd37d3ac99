/** Whether the programme would notice: breaks copies of the gateway, one way each, and plays a scenario with every one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyOf } from '../../mutation/trial.ts';
import type { Finding, Scenario } from '../scenario.ts';
import type { Edit, GatewayMutant } from './list.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

export interface Setting {
  readonly seed: number;
  /** Where the scenarios may write. */
  readonly directory: string;
}

/** Prints a table. Whether every mutant is caught, and the gateway as it is passes what they are caught by. */
export async function tryMutants(mutants: readonly GatewayMutant[], setting: Setting): Promise<boolean> {
  const copy = copyOf(root, ['src', 'package.json']);
  const program = join(copy.directory, 'src/main.ts');
  const wrong: string[] = [];
  try {
    for (const scenario of new Set(mutants.map(({ scenario: own }) => own))) {
      const complaints = await complaintsOf(scenario, `as-it-is-${scenario.id}`, { ...setting, program });
      if (complaints.length > 0) wrong.push(`the gateway as it is (${scenario.id})`);
      print('as it is', scenario, complaints.length === 0 ? 'passes' : `FAILS: ${complaints.join(', ')}`);
    }
    for (const [index, { edits, name, scenario }] of mutants.entries()) {
      const restore = apply(edits, join(copy.directory, 'src'));
      const complaints = await complaintsOf(scenario, `mutant-${index + 1}`, { ...setting, program });
      restore();
      if (complaints.length === 0) wrong.push(name);
      print(name, scenario, complaints.length === 0 ? 'SURVIVES' : `caught: ${complaints.join(', ')}`);
    }
  } finally {
    copy.close();
  }
  console.log(
    wrong.length === 0 ? `\nAll ${mutants.length} are caught.` : `\nNot as it should be: ${wrong.join('; ')}.`,
  );
  return wrong.length === 0;
}

function print(name: string, { id }: Scenario, verdict: string): void {
  console.log(`${name.padEnd(58)} ${id.padEnd(8)} ${verdict}`);
}

/** What speaks against a gateway: invariants, bars, or that it does not run at all. */
async function complaintsOf(
  scenario: Scenario,
  name: string,
  { directory, program, seed }: Setting & { readonly program: string },
): Promise<readonly string[]> {
  let finding: Finding;
  try {
    finding = await scenario.run({ quick: true, seed, directory: join(directory, name), program });
  } catch (error) {
    return [`no run: ${error instanceof Error ? error.message : String(error)}`];
  }
  const counts = Map.groupBy(finding.violations, ({ invariant }) => invariant);
  const invariants = [...counts].map(([invariant, own]) => `${invariant} (${own.length})`);
  const bars = finding.bars.filter(({ holds }) => !holds).map(({ text }) => text);
  return [...invariants, ...bars];
}

/** Returns the way back. Throws when the code has changed under a mutant. */
function apply(edits: readonly Edit[], source: string): () => void {
  const before = new Map<string, string>();
  for (const change of edits) {
    const path = join(source, change.file);
    const text = readFileSync(path, 'utf8');
    if (!before.has(path)) before.set(path, text);
    writeFileSync(path, edited(text, change));
  }
  return () => {
    for (const [path, text] of before) writeFileSync(path, text);
  };
}

export function edited(text: string, { file, from, to }: Edit): string {
  const [head, tail, ...more] = text.split(from);
  if (tail === undefined || more.length > 0) throw new Error(`not exactly once in src/${file}: ${from}`);
  return `${head}${to}${tail}`;
}
