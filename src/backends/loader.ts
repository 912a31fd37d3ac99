/**
 * Loads and unloads models for the planner, by requests of the gateway's own: empty prompts (ollama-wire §1). No client waits on
 * them, so that none can abort a load by leaving.
 */
import type { Intent, Perform } from '../core/planner.ts';
import type { BackendId, Clock } from '../core/types.ts';
import type { Ask, BackendClient } from './client.ts';

export interface LoaderDependencies {
  /** Throws when the backend is no longer configured. */
  readonly client: (id: BackendId) => BackendClient;
  readonly clock: Clock;
  /** Looks at once what a backend has in memory. Never rejects. */
  readonly refresh: (id: BackendId) => Promise<void>;
}

/** A load that takes longer has failed. Ollama itself gives up a load that makes no progress for five minutes. */
const LONGEST_LOAD_MS = 1_800_000;
const LONGEST_UNLOAD_MS = 30_000;
const CONNECT_MS = 5000;

export function createLoader({ client, clock, refresh }: LoaderDependencies): Perform {
  async function perform(intent: Intent): Promise<number | null> {
    const startedAt = clock.now();
    try {
      const { status } = await client(intent.backend).fetch(askFor(intent));
      if (status !== 200) return null;
    } catch {
      // Whatever it was, the job that wanted the model will meet it too, and tell its client in the backend's words.
      return null;
    }
    return clock.now() - startedAt;
  }

  return (intent, ended) => {
    void perform(intent).then((tookMs) => {
      ended(tookMs);
      void refresh(intent.backend);
    });
  };
}

/** Exported for its test. */
export function askFor({ kind, model, runnerOptions, task }: Intent): Ask {
  const longest = kind === 'load' ? LONGEST_LOAD_MS : LONGEST_UNLOAD_MS;
  const isEmbedding = kind === 'load' && task === 'embed';
  const body = kind === 'unload' ? { model, keep_alive: 0 } : { model, ...spelledOut(runnerOptions), stream: false };
  return {
    method: 'POST',
    // An embedding model refuses to generate, even nothing.
    path: isEmbedding ? '/api/embed' : '/api/generate',
    headers: ['Content-Type', 'application/json'],
    body: Buffer.from(JSON.stringify(isEmbedding ? { ...body, input: [] } : body)),
    repeatable: true,
    timeouts: { connect: CONNECT_MS, firstByte: longest, idle: longest, total: longest },
  };
}

/** `num_ctx=8192,shift=false` as the fields of a request. */
function spelledOut(runnerOptions: string): Record<string, unknown> {
  if (runnerOptions === '') return {};
  const { shift, ...options } = Object.fromEntries(
    runnerOptions.split(',').map((part) => {
      const cut = part.indexOf('=');
      return [part.slice(0, cut), JSON.parse(part.slice(cut + 1)) as unknown];
    }),
  );
  return { ...(shift === undefined ? {} : { shift }), ...(Object.keys(options).length === 0 ? {} : { options }) };
}
