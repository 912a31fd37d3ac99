/** Pulls a model onto a backend of the gateway's own accord: `/api/pull` as a stream, so that silence can be told from a long file. */
import type { Pull } from '../core/required.ts';
import type { BackendId, Millis, ModelName } from '../core/types.ts';
import type { Ask, BackendClient } from './client.ts';

export interface PullDependencies {
  readonly client: (id: BackendId) => BackendClient;
  /** Has what a backend has installed looked up again. */
  readonly refresh: (id: BackendId) => Promise<void>;
  /** How long a backend may say nothing in between. */
  readonly silence: () => Millis;
}

const connectMs = 5000;

/** More than any line of progress has; of a longer one only the end is read. */
const lineLimit = 64 * 1024;

export function createPull({ client, refresh, silence }: PullDependencies): Pull {
  return (backend, model, ended) => {
    const asked = begin(backend, model, ended);
    if (asked !== null) ended(asked);
  };

  /** Null once it is under way. */
  function begin(backend: BackendId, model: ModelName, ended: (error: string | null) => void): string | null {
    let status = 0;
    let rest = '';
    let last: Readonly<Record<string, unknown>> = {};
    const read = (text: string): void => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(-lineLimit);
      for (const line of lines) last = parsed(line) ?? last;
    };
    try {
      client(backend).send(pullAsk(model, silence()), {
        head: (code) => {
          status = code;
        },
        data: (chunk) => read(chunk.toString('utf8')),
        end() {
          read('\n');
          const error = errorOf(status, last);
          if (error !== null) return ended(error);
          // Whoever hears that it is done counts what the fleet knows.
          void refresh(backend).then(
            () => ended(null),
            () => ended(null),
          );
        },
        failed: ({ message }) => ended(`it ${message}`),
      });
      return null;
    } catch (error) {
      // A backend that is no longer configured has no client.
      return (error as Error).message;
    }
  }
}

function errorOf(status: number, { error, status: said }: Readonly<Record<string, unknown>>): string | null {
  if (typeof error === 'string') return error;
  if (status !== 200) return `it answered ${status}`;
  return said === 'success' ? null : 'it ended before it had succeeded';
}

function parsed(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function pullAsk(model: ModelName, silence: Millis): Ask {
  return {
    method: 'POST',
    path: '/api/pull',
    headers: ['Content-Type', 'application/json'],
    body: Buffer.from(JSON.stringify({ model })),
    repeatable: false,
    timeouts: { connect: connectMs, firstByte: silence, idle: silence, total: 0 },
  };
}
