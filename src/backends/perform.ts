/**
 * Loads and unloads models for the scheduler, apart from any client: a load that nobody waits for any more still finishes, so
 * that a client that leaves does not make the next one wait from the start (ollama-wire §2.5.3).
 */
import type { Observation } from '../core/observation.ts';
import type { Intent, Perform } from '../core/planner.ts';
import type { BackendId, Clock, Millis } from '../core/types.ts';
import type { Ask, BackendClient } from './client.ts';

export interface PerformDependencies {
  readonly client: (id: BackendId) => BackendClient;
  /** Has what a backend has in memory looked up again. */
  readonly refresh: (ids: readonly BackendId[]) => Promise<void>;
  readonly clock: Clock;
  readonly observe: (id: BackendId, observation: Observation) => void;
  /** How long a load may take. */
  readonly loadTimeout: () => Millis;
}

const connectMs = 2000;
const unloadMs = 60_000;

export function createPerform(dependencies: PerformDependencies): Perform {
  const { client, clock, observe, refresh } = dependencies;

  async function carryOut(intent: Intent): Promise<Millis | null> {
    const { backend, kind, model } = intent;
    const startedAt = clock.now();
    const isDone = await succeeds(client(backend), askFor(intent, dependencies.loadTimeout()));
    const ms = clock.now() - startedAt;
    if (isDone) observe(backend, { kind: kind === 'load' ? 'loaded' : 'unloaded', model, reason: 'placed', ms });
    // Nobody waits for it: while Ollama unloads, `/api/ps` may take seconds.
    void refresh([backend]).catch(() => {});
    return isDone ? ms : null;
  }

  /** The last intent of each backend: a load that overtook the unload before it would make Ollama choose a victim itself. */
  const last = new Map<BackendId, Promise<void>>();

  return (intent, ended) => {
    const { backend } = intent;
    const before = last.get(backend) ?? Promise.resolve();
    // A backend that is no longer configured has no client; that is a load that failed, not a mistake.
    const own = before.then(() => carryOut(intent)).then(ended, () => ended(null));
    last.set(backend, own);
    void own.finally(() => {
      if (last.get(backend) === own) last.delete(backend);
    });
  };
}

/** An empty prompt loads; with `keep_alive: 0` it unloads. Embedding models answer such a prompt only on their own route. */
function askFor({ kind, model, runnerOptions, task }: Intent, loadTimeout: Millis): Ask {
  const isLoad = kind === 'load';
  const isEmbedding = isLoad && task === 'embed';
  const { shift, ...options } = parseOptions(runnerOptions);
  const body = {
    model,
    ...(isEmbedding ? { input: [] } : {}),
    ...(Object.keys(options).length === 0 || !isLoad ? {} : { options }),
    ...(shift === undefined || !isLoad ? {} : { shift }),
    ...(isLoad ? {} : { keep_alive: 0 }),
  };
  const limit = isLoad ? loadTimeout : unloadMs;
  return {
    method: 'POST',
    path: isEmbedding ? '/api/embed' : '/api/generate',
    headers: ['Content-Type', 'application/json'],
    body: Buffer.from(JSON.stringify(body)),
    repeatable: true,
    timeouts: { connect: connectMs, firstByte: limit, idle: limit, total: limit },
  };
}

/** `num_ctx=8192,shift=false` (dialects/runner-options.ts) as the fields it was read from. */
function parseOptions(text: string): Record<string, number | boolean> {
  const pairs = text === '' ? [] : text.split(',').map((pair) => pair.split('=') as [string, string]);
  return Object.fromEntries(
    pairs.map(([name, value]) => [name, value === 'true' ? true : value === 'false' ? false : Number(value)]),
  );
}

async function succeeds(client: BackendClient, ask: Ask): Promise<boolean> {
  try {
    const { status } = await client.fetch(ask);
    return status === 200;
  } catch {
    return false;
  }
}
