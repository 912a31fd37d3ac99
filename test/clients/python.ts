/** Clients in Python, each in a process of its own, and the virtual environment they live in. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Closer } from '../support/closer.ts';
import type { Call, Client, Observation, Raised, Scene } from './client.ts';

const run = promisify(execFile);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const requirements = here('requirements.txt');
const home = here('../../.venv/clients');
const isWindows = process.platform === 'win32';
const interpreter = isWindows ? join(home, 'Scripts', 'python.exe') : join(home, 'bin', 'python');

export interface PythonProgram {
  /** Of the row. */
  readonly name: string;
  readonly file: string;
}

export type Environment =
  | { readonly kind: 'ready'; readonly interpreter: string }
  | { readonly kind: 'missing'; readonly reason: string };

/** Makes the environment unless it is there; a change of the requirements or of Python makes it anew. */
export async function pythonEnvironment(say: (text: string) => void): Promise<Environment> {
  const python = await findPython();
  if (python === null) return { kind: 'missing', reason: 'there is no Python 3.11 or newer' };
  const wanted = createHash('sha256')
    .update(await readFile(requirements))
    .update(python.version)
    .digest('hex');
  const stamp = join(home, 'llamero-requirements');
  const present = await readFile(stamp, 'utf8').catch(() => null);
  if (present === wanted) return { kind: 'ready', interpreter };
  say(`making a virtual environment for the Python clients (${python.version}) …`);
  await rm(home, { recursive: true, force: true });
  const made = await attempt(python.command, ['-m', 'venv', home]);
  if (made !== null) return { kind: 'missing', reason: `\`python -m venv\` failed: ${made}` };
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check', '-r', requirements];
  const installed = await attempt(interpreter, pip);
  if (installed !== null) return { kind: 'missing', reason: `pip could not install them: ${installed}` };
  await writeFile(stamp, wanted);
  return { kind: 'ready', interpreter };
}

async function findPython(): Promise<{ readonly command: string; readonly version: string } | null> {
  for (const command of isWindows ? ['python', 'py'] : ['python3', 'python']) {
    const answer = await run(command, ['--version']).catch(() => null);
    const [version, minor] = /Python 3\.(\d+)\.\S+/.exec(answer?.stdout ?? '') ?? [];
    if (version !== undefined && Number(minor) >= 11) return { command, version };
  }
  return null;
}

/** The last line of what it complained about; null when it went well. */
async function attempt(command: string, words: readonly string[]): Promise<string | null> {
  try {
    await run(command, words, { maxBuffer: 16 * 1_024 * 1_024 });
    return null;
  } catch (error) {
    const {
      stderr = '',
      stdout = '',
      message,
    } = error as Error & { readonly stderr?: string; readonly stdout?: string };
    return `${stderr}\n${stdout}`.trim().split('\n').at(-1) || message;
  }
}

type Line =
  | { readonly saw: unknown }
  | { readonly raised: Raised | null }
  | { readonly version: string; readonly calls: readonly Call[] };

/** Starts the program and waits until it has imported its library. It ends with the closer. */
export async function startPython(python: string, { name, file }: PythonProgram, closer: Closer): Promise<Client> {
  const child = spawn(python, ['-X', 'utf8', here(`python/${file}`)], {
    // A proxy has no business between two programs on one machine.
    env: { ...process.env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  closer.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let complaints = '';
  child.stderr.on('data', (bytes: Buffer) => {
    complaints = (complaints + bytes.toString()).slice(-2_000);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Line> => {
    const { done, value } = await lines.next();
    if (done === true) throw new Error(`${file} ended: ${complaints.trim()}`);
    return JSON.parse(value) as Line;
  };
  const greeting = await next();
  if (!('version' in greeting)) throw new Error(`${file} does not say what it can`);
  let isBusy = false;
  return {
    name,
    version: greeting.version,
    can: new Set(greeting.calls),
    async observe(call: Call, { url, model }: Scene): Promise<Observation> {
      if (isBusy) throw new Error(`${file} still hangs in the call before`);
      isBusy = true;
      child.stdin.write(`${JSON.stringify({ call, url, model })}\n`);
      const saw: unknown[] = [];
      for (;;) {
        const line = await next();
        if ('saw' in line) saw.push(line.saw);
        else if ('raised' in line) {
          isBusy = false;
          return { saw, raised: line.raised };
        }
      }
    },
  };
}
