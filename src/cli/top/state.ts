/** The fleet as `/gateway/events` tells it: a snapshot, and then only what has changed. Pure. */
import type { ActiveRequest, Backend, FinishedRequest, Fleet, Queue } from '../../http/admin/shapes.ts';

export type SeenBackend = Omit<Backend, 'models'>;
export type SeenGateway = Omit<Fleet, 'now' | 'uptime_ms' | 'backends'>;

export interface Seen {
  readonly gateway: SeenGateway;
  readonly uptimeMs: number;
  /** In the order in which the gateway has them. */
  readonly backends: readonly SeenBackend[];
  readonly queue: Queue;
  readonly requests: readonly ActiveRequest[];
  /** Newest first. */
  readonly history: readonly FinishedRequest[];
}

/** What a `snapshot` says, and the parts of it that a `delta` may say again. */
interface Message {
  readonly now: number;
  readonly uptime_ms: number;
  readonly gateway: SeenGateway;
  readonly backends: Readonly<Record<string, SeenBackend | null>>;
  readonly queue: Queue;
  readonly requests: readonly ActiveRequest[];
  readonly history: readonly FinishedRequest[];
}

/** Finished requests that are kept: enough for the figures of each backend. */
const kept = 200;

/** What is known after an event; null until the first snapshot. */
export function after(seen: Seen | null, event: string, data: unknown): Seen | null {
  if (event === 'snapshot') {
    const { backends, gateway, history, queue, requests, uptime_ms: uptimeMs } = data as Message;
    return { gateway, uptimeMs, backends: present(Object.values(backends)), queue, requests, history };
  }
  if (event !== 'delta' || seen === null) return seen;
  const delta = data as Partial<Message>;
  return {
    gateway: delta.gateway ?? seen.gateway,
    uptimeMs: seen.uptimeMs,
    backends: delta.backends === undefined ? seen.backends : changed(seen.backends, delta.backends),
    queue: delta.queue ?? seen.queue,
    requests: delta.requests ?? seen.requests,
    history: delta.history === undefined ? seen.history : [...delta.history, ...seen.history].slice(0, kept),
  };
}

function changed(backends: readonly SeenBackend[], changes: Message['backends']): readonly SeenBackend[] {
  const known = new Set(backends.map(({ name }) => name));
  const stayed = backends.map((backend) => (Object.hasOwn(changes, backend.name) ? changes[backend.name]! : backend));
  const added = Object.entries(changes).flatMap(([name, backend]) => (known.has(name) ? [] : [backend]));
  return present([...stayed, ...added]);
}

function present(backends: readonly (SeenBackend | null)[]): readonly SeenBackend[] {
  return backends.filter((backend) => backend !== null);
}
