/** Runs test files in a copy of the repository, and ends whatever they start. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `failed`: a test failed. `timeout`: it would not end. Both are a mutant that was noticed. */
export type Verdict = 'passed' | 'failed' | 'timeout';

/** A copy of these parts of the repository that may be changed; `close` removes it. */
export function copyOf(root: string, parts: readonly string[]): { readonly directory: string; close(): void } {
  const directory = mkdtempSync(join(tmpdir(), 'llamero-copy-'));
  for (const part of parts) cpSync(join(root, part), join(directory, part), { recursive: true });
  symlinkSync(realpathSync(join(root, 'node_modules')), join(directory, 'node_modules'));
  return { directory, close: () => rmSync(directory, { recursive: true, force: true }) };
}

export interface Trial {
  readonly directory: string;
  readonly tests: readonly string[];
  readonly timeoutMs: number;
  /** Ends the trial early. */
  readonly signal: AbortSignal;
}

/**
 * The tests run in a process group of their own, which is killed as a whole when they have ended or their time is up, so that
 * nothing a mutant started outlives it. A loop without end is killed like anything else. One process for all the files takes a
 * third of the time of one for each.
 */
export function runTests({ directory, signal, tests, timeoutMs }: Trial): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--test', '--test-isolation=none', '--test-reporter=dot', ...tests], {
      cwd: directory,
      detached: true,
      stdio: 'ignore',
      env: withoutTestContext(),
    });
    let isLate = false;
    const kill = (): void => killGroup(child.pid);
    const timer = setTimeout(() => {
      isLate = true;
      kill();
    }, timeoutMs);
    signal.addEventListener('abort', kill, { once: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', kill);
      kill();
    };
    child.once('error', (error) => {
      settle();
      reject(error);
    });
    child.once('exit', (code) => {
      settle();
      resolve(isLate ? 'timeout' : code === 0 ? 'passed' : 'failed');
    });
  });
}

/** A test runner inside a test runner runs nothing. */
function withoutTestContext(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _context, ...rest } = process.env;
  return rest;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // Nobody of the group is left, which is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
