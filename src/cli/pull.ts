/** `llamero pull MODEL`: has backends pull a model, and shows how far each of them is. */
import type { Backends, Pull, Pulls } from '../http/admin/shapes.ts';
import { createAdminClient, type AdminClient } from './admin-client.ts';
import { adminFlags, leadingWords } from './flags.ts';
import type { Io } from './io.ts';
import { paintFor, type Paint } from './paint.ts';
import { createProgress, type Progress } from './progress.ts';
import { readConfig } from './read-config.ts';

const pollMs = 250;

const usage = `llamero: usage: llamero pull MODEL --all
       llamero pull MODEL --on BACKEND [--on BACKEND …]
`;

/** Exit codes: 0 every backend has it, 1 one has not, 2 arguments not understood, 130 given up. */
export async function pullCommand(argv: readonly string[], io: Io): Promise<number> {
  const { rest, words } = leadingWords(argv);
  const [model] = words;
  if (model === undefined || words.length > 1) {
    io.stderr.write(usage);
    return 2;
  }
  const read = await readConfig(rest, io, {
    ...adminFlags,
    all: { help: 'on every backend' },
    on: { value: 'BACKEND', isRepeatable: true, help: 'on this backend; repeat it for several' },
  });
  if (typeof read === 'number') return read;
  const client = createAdminClient(read.loaded.config.admin, read.flags.get('token')?.[0]);
  const backends = await chosen(client, read.flags.get('on') ?? [], read.flags.has('all'));
  if (typeof backends === 'string') {
    io.stderr.write(`llamero: ${backends}\n`);
    return 1;
  }
  if (backends === null) {
    io.stderr.write(usage);
    return 2;
  }
  return follow(model, backends, client, io);
}

/** The names; a sentence when they can't be had; null when the arguments name none. */
async function chosen(
  client: AdminClient,
  named: readonly string[],
  all: boolean,
): Promise<readonly string[] | string | null> {
  if (named.length > 0) return all ? null : named;
  const answer = await client.get<Backends>('/gateway/backends');
  if (!answer.ok) return `${client.address} ${answer.problem}`;
  const names = answer.value.backends.map(({ name }) => name);
  return all || names.length === 1 ? names : null;
}

async function follow(model: string, backends: readonly string[], client: AdminClient, io: Io): Promise<number> {
  const progress = createProgress(backends, io.stdout);
  const paint = paintFor(io.stdout, io.env);
  const running = new Map<string, string>();
  let failed = 0;
  for (const backend of backends) {
    const answer = await client.send<Pull>('POST', `/gateway/backends/${encodeURIComponent(backend)}/pull`, { model });
    if (answer.ok) running.set(answer.value.id, backend);
    else {
      failed += 1;
      progress.done(backend, paint.red(`failed: ${answer.problem}`));
    }
  }
  while (running.size > 0) {
    if (io.signal.aborted) return giveUp(running, client, io);
    const answer = await client.get<Pulls>('/gateway/pulls');
    if (!answer.ok) {
      io.stderr.write(`llamero: ${client.address} ${answer.problem}\n`);
      return 1;
    }
    failed += show(answer.value.pulls, running, progress, paint);
    if (running.size > 0) await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  return failed === 0 ? 0 : 1;
}

/** Shows what is new, takes those that are over out of `running`, and says how many of them failed. */
function show(pulls: readonly Pull[], running: Map<string, string>, progress: Progress, paint: Paint): number {
  let failed = 0;
  for (const [id, backend] of running) {
    const pull = pulls.find((one) => one.id === id);
    if (pull?.state === 'running') {
      progress.at(backend, pull.status, pull.completed_bytes, pull.total_bytes);
      continue;
    }
    running.delete(id);
    if (pull?.state === 'succeeded') progress.done(backend, paint.green('done'));
    else {
      failed += 1;
      progress.done(
        backend,
        paint.red(`${pull?.state ?? 'lost'}: ${pull?.status ?? 'the gateway no longer knows of it'}`),
      );
    }
  }
  return failed;
}

async function giveUp(running: ReadonlyMap<string, string>, client: AdminClient, io: Io): Promise<number> {
  for (const id of running.keys()) await client.send('DELETE', `/gateway/pulls/${encodeURIComponent(id)}`);
  io.stderr.write('\nllamero: given up; the backends keep what has come, and go on from there the next time\n');
  return 130;
}
