import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { apply, mutantsOf } from '../../bench/mutation/mutate.ts';
import { runTests } from '../../bench/mutation/trial.ts';

it('changes code, and neither comments nor texts nor types', () => {
  const text = [
    '/** whether a < b */',
    'type Pair = Map<string, number>;',
    'export function f(a: number, b: number): boolean {',
    "  if (a < b) return 'a < b' === String(a);",
    '  return true;',
    '}',
    '',
  ].join('\n');
  const mutants = mutantsOf(text);
  assert.deepEqual(
    mutants.map(({ from, line, operator, to }) => [line, operator, from, to]),
    [
      [4, 'comparison', '<', '<='],
      [4, 'comparison', '===', '!=='],
      [4, 'condition', 'a < b', '!(a < b)'],
      [5, 'boolean', 'true', 'false'],
      [4, 'return', "'a < b' === String(a)", 'null as never'],
    ],
  );
  assert.ok(apply(text, mutants[3]!).includes('return false;'));
});

it('ends a test that loops for ever, with everything it has started', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'llamero-mutation-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'endless.test.ts');
  writeFileSync(
    file,
    `import { writeFileSync } from 'node:fs'; writeFileSync('pid', String(process.pid)); for (;;) continue;`,
  );
  const verdict = await runTests({ directory, tests: [file], timeoutMs: 4000, signal: new AbortController().signal });
  assert.equal(verdict, 'timeout');
  const pid = Number(readFileSync(join(directory, 'pid'), 'utf8'));
  // A killed process is in the table until it has been reaped, which its adoptive parent does.
  while (isRunning(pid)) await new Promise((resolve) => setImmediate(resolve));
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
