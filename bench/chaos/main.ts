/**
 * `npm run chaos`: does to a real gateway in front of real processes what the world will do to it, and checks the history of all
 * that happened. docs/reliability.md tells how to read it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readArguments, usage, type ChaosOptions } from './arguments.ts';
import { check, usualRules, type Violation } from './check.ts';
import { readHistory, writeHistory } from './history.ts';
import { gatewayMutants } from './mutants/list.ts';
import { tryMutants } from './mutants/run.ts';
import { watchPressure } from './pressure.ts';
import type { Finding, Scenario } from './scenario.ts';
import { scenarios } from './scenarios/index.ts';

/** Violations of one invariant that are printed. */
const SHOWN = 5;

async function main(options: ChaosOptions): Promise<boolean> {
  if (options.list) {
    for (const { id, title } of scenarios) console.log(`${id.padEnd(5)}${title}`);
    return true;
  }
  if (options.check !== null) {
    const { violations, figures } = check(readHistory(options.check), usualRules);
    console.log(JSON.stringify(figures, null, 2));
    printViolations(violations);
    return violations.length === 0;
  }
  const directory = mkdtempSync(join(tmpdir(), 'llamero-chaos-'));
  if (options.mutants) {
    const areCaught = await tryMutants(gatewayMutants, { seed: options.seed, directory });
    rmSync(directory, { recursive: true, force: true });
    return areCaught;
  }
  const failed: string[] = [];
  for (const scenario of chosen(options)) {
    if (!(await play(scenario, options, directory))) failed.push(scenario.id);
  }
  if (failed.length === 0 && !options.keep) rmSync(directory, { recursive: true, force: true });
  console.log(failed.length === 0 ? '\nAll of it held.' : `\nDid not hold: ${failed.join(', ')}.`);
  return failed.length === 0;
}

function chosen({ only }: ChaosOptions): readonly Scenario[] {
  if (only === null) return scenarios;
  return only.map((name) => {
    const scenario = scenarios.find(({ id }) => id.toLowerCase() === name.toLowerCase());
    if (scenario === undefined)
      throw new Error(`no scenario ${name}; there are ${scenarios.map(({ id }) => id).join(', ')}`);
    return scenario;
  });
}

/** Whether all of it held. */
async function play(scenario: Scenario, options: ChaosOptions, parent: string): Promise<boolean> {
  const { quick, seed, keep } = options;
  const directory = join(parent, scenario.id);
  console.log(`\n${scenario.id}  ${scenario.title}`);
  const begin = performance.now();
  const pressure = watchPressure();
  const finding = await scenario.run({ quick, seed, directory });
  print(finding);
  const holds = finding.violations.length === 0 && finding.bars.every((bar) => bar.holds);
  const took = `${((performance.now() - begin) / 1000).toFixed(1)} s; ${pressure()}`;
  if (holds && !keep) {
    console.log(`       ${took}`);
    return true;
  }
  const file = join(directory, 'history.jsonl');
  writeHistory(file, finding.events);
  console.log(`       ${took}\n       history: ${file}`);
  return holds;
}

function print({ bars, figures, violations }: Finding): void {
  for (const { holds, text } of bars) console.log(`  ${holds ? 'yes' : 'NO '}  ${text}`);
  for (const text of figures) console.log(`       ${text}`);
  printViolations(violations);
}

function printViolations(violations: readonly Violation[]): void {
  const byInvariant = Map.groupBy(violations, ({ invariant }) => invariant);
  console.log(
    violations.length === 0
      ? '  yes  no invariant is violated'
      : `  NO   ${violations.length} violations of invariants`,
  );
  for (const [invariant, own] of byInvariant) {
    for (const { what, id } of own.slice(0, SHOWN)) console.log(`       ${invariant} ${id} ${what}`);
    if (own.length > SHOWN) console.log(`       ${invariant} … ${own.length} in all`);
  }
}

if (process.argv.includes('--help')) {
  console.log(usage);
} else {
  try {
    process.exitCode = (await main(readArguments(process.argv.slice(2)))) ? 0 : 1;
  } catch (error) {
    console.error(`chaos: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
