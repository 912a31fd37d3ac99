/** What an operator has done to the models of one backend: load, unload, pull, delete. Apart from any client's request. */
import type { Ask, BackendClient, Call } from '../../backends/client.ts';
import type { Refreshed } from '../../backends/prober.ts';
import type { BackendId, Clock, Millis } from '../../core/types.ts';
import { createLineSplitter } from '../../dialects/frames.ts';
import { askWhole, errorTextOf, type Answered } from '../ask.ts';
import { within } from '../visit.ts';
import { Problem } from './problem.ts';
import type { Pull } from './shapes.ts';

export interface ModelWork {
  /** Resolves when it is in memory. Rejects with a Problem. `keepAlive` as Ollama takes it. */
  load(backend: BackendId, model: string, keepAlive: string | number | undefined): Promise<void>;
  unload(backend: BackendId, model: string): Promise<void>;
  remove(backend: BackendId, model: string): Promise<void>;
  /** Begins; the one that runs already, when there is one for this model there. */
  pull(backend: BackendId, model: string): Pull;
  /** Those that run, then the last that ended; newest first. */
  pulls(): readonly Pull[];
  /** False when there is none of this id; one that has ended stays as it is. */
  cancel(id: string): boolean;
  close(): void;
}

export interface ModelWorkDependencies {
  readonly client: (id: BackendId) => BackendClient;
  /** Asks backends what they have, or have in memory, now. */
  readonly refresh: (ids: readonly BackendId[], what: Refreshed) => Promise<void>;
  readonly clock: Clock;
  /** How long a load may take. */
  readonly loadTimeout: () => Millis;
}

const CONNECT_MS = 2000;
const QUICK_MS = 60_000;
/** A pull that says nothing for so long is given up. */
const SILENCE_MS = 600_000;
/** How long an answer waits until the lists know what has changed. */
const REFRESH_MS = 2000;
const ENDED_PULLS = 20;
const MAX_LINE_BYTES = 64 * 1024;

export function createModelWork(dependencies: ModelWorkDependencies): ModelWork {
  const { client, clock, loadTimeout, refresh } = dependencies;
  const settled = (id: BackendId, what: Refreshed) => within(REFRESH_MS, clock, refresh([id], what));

  async function done(backend: BackendId, ask: Ask, what: Refreshed): Promise<void> {
    const answered = await askWhole(client(backend), ask, null);
    // Also after a failure: what it says may be that the lists are behind.
    await settled(backend, what);
    const wrong = complaint(answered);
    if (wrong !== null) throw new Problem(wrong.status, `${backend}: ${wrong.detail}`);
  }

  const pulls = createPulls({ ...dependencies, settled: (id) => settled(id, 'installed') });
  return {
    async load(backend, model, keepAlive) {
      const more = keepAlive === undefined ? {} : { keep_alive: keepAlive };
      const ask = (path: string, body: object) => post(path, { model, ...body, ...more }, loadTimeout());
      const answered = await askWhole(client(backend), ask('/api/generate', { stream: false }), null);
      // Models for embeddings are loaded by their own route only.
      const isForEmbeddings = /does not support generate/.test(complaint(answered)?.detail ?? '');
      const last = isForEmbeddings ? await askWhole(client(backend), ask('/api/embed', { input: [] }), null) : answered;
      await settled(backend, 'resident');
      const wrong = complaint(last);
      if (wrong !== null) throw new Problem(wrong.status, `${backend}: ${wrong.detail}`);
    },
    unload: (backend, model) =>
      done(backend, post('/api/generate', { model, keep_alive: 0, stream: false }, QUICK_MS), 'resident'),
    remove: (backend, model) =>
      done(backend, { ...post('/api/delete', { model }, QUICK_MS), method: 'DELETE' }, 'installed'),
    ...pulls,
  };
}

interface PullsDependencies extends Pick<ModelWorkDependencies, 'client' | 'clock'> {
  readonly settled: (id: BackendId) => Promise<void>;
}

interface RunningPull {
  readonly shown: Omit<Pull, 'age_ms'>;
  readonly startedAt: Millis;
  call: Call | null;
}

function createPulls({
  client,
  clock,
  settled,
}: PullsDependencies): Pick<ModelWork, 'pull' | 'pulls' | 'cancel' | 'close'> {
  const all: RunningPull[] = [];
  let number = 0;
  const isRunning = ({ shown }: RunningPull) => shown.state === 'running';
  const show = ({ shown, startedAt }: RunningPull): Pull => ({
    ...shown,
    age_ms: Math.round(clock.now() - startedAt),
  });

  function end(pull: RunningPull, state: Pull['state'], status: string): void {
    if (!isRunning(pull)) return;
    Object.assign(pull.shown, { state, status });
    pull.call = null;
    const ended = all.filter((one) => !isRunning(one));
    for (const old of ended.slice(0, -ENDED_PULLS)) all.splice(all.indexOf(old), 1);
  }

  function begin(backend: BackendId, model: string): RunningPull {
    number += 1;
    const shown = { id: `pull-${number}`, backend, model, status: 'asking', completed_bytes: 0, total_bytes: 0 };
    const pull: RunningPull = { shown: { ...shown, state: 'running' }, startedAt: clock.now(), call: null };
    all.push(pull);
    const lines = createLineSplitter(MAX_LINE_BYTES);
    const said = { status: 0, error: null as string | null, isDone: false };
    pull.call = client(backend).send(pullAsk(model), {
      head: (status) => void (said.status = status),
      data(chunk) {
        for (const { bytes } of lines.push(chunk)) note(pull, bytes.toString('utf8'), said);
      },
      end() {
        const rest = lines.rest();
        if (rest !== null) note(pull, rest.bytes.toString('utf8'), said);
        if (said.error !== null) end(pull, 'failed', said.error);
        else if (!said.isDone) end(pull, 'failed', `it answered ${said.status} and did not finish`);
        // Who sees that it has succeeded looks for the model next.
        else void settled(backend).then(() => end(pull, 'succeeded', 'success'));
      },
      failed: ({ message }) => end(pull, 'failed', `it ${message}`),
    });
    return pull;
  }

  return {
    pull(backend, model) {
      const same = all.find((one) => isRunning(one) && one.shown.backend === backend && one.shown.model === model);
      return show(same ?? begin(backend, model));
    },
    pulls: () =>
      all
        .toReversed()
        .sort((a, b) => Number(isRunning(b)) - Number(isRunning(a)))
        .map(show),
    cancel(id) {
      const pull = all.find(({ shown }) => shown.id === id);
      if (pull === undefined) return false;
      pull.call?.abort();
      end(pull, 'cancelled', 'stopped by the operator');
      return true;
    },
    close() {
      for (const pull of all) pull.call?.abort();
    },
  };
}

/** A line of progress: a status, and for a layer how much of it has come. */
function note({ shown }: RunningPull, line: string, said: { error: string | null; isDone: boolean }): void {
  let told: Readonly<Record<string, unknown>>;
  try {
    told = JSON.parse(line) as typeof told;
  } catch {
    return;
  }
  const { completed, error, status, total } = told;
  if (typeof error === 'string') said.error = error;
  if (status === 'success') said.isDone = true;
  const whole = (value: unknown) => (typeof value === 'number' && value > 0 ? Math.floor(value) : 0);
  Object.assign(shown, {
    ...(typeof status === 'string' && status !== 'success' && { status: status.slice(0, 200) }),
    completed_bytes: whole(completed),
    total_bytes: whole(total),
  });
}

function pullAsk(model: string): Ask {
  const timeouts = { connect: CONNECT_MS, firstByte: SILENCE_MS, idle: SILENCE_MS, total: 0 };
  return { ...post('/api/pull', { model }, 0), repeatable: false, timeouts };
}

function post(path: string, body: object, limit: Millis): Ask {
  return {
    method: 'POST',
    path,
    headers: ['Content-Type', 'application/json'],
    body: Buffer.from(JSON.stringify(body)),
    repeatable: true,
    timeouts: { connect: CONNECT_MS, firstByte: limit, idle: limit, total: limit },
  };
}

/** Null when it was done; else the status of our own answer, and what the backend says. */
function complaint(answered: Answered): { readonly status: number; readonly detail: string } | null {
  if (answered.kind === 'failed') {
    const { code, message } = answered.failure;
    return { status: code.endsWith('-timeout') ? 504 : 502, detail: `it ${message}` };
  }
  if (answered.status < 400) return null;
  return { status: answered.status === 404 ? 404 : 502, detail: errorTextOf(answered) };
}
