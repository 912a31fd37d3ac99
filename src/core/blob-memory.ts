/**
 * Which backend has which uploaded file, and where a client's uploads go. A create needs all its files on one backend, and
 * clients upload them one by one, so the uploads of one client stay together. All of it is a hint that is checked before it is
 * relied on: a backend forgets files that no model uses when it restarts.
 */
import type { BackendId, ClientId, Clock, Millis } from './types.ts';

export interface BlobMemory {
  /** The backend has the whole file; known for `ttlMs`. */
  remember(digest: string, backend: BackendId, ttlMs: Millis): void;
  /** It turned out not to have it. */
  forget(digest: string, backend: BackendId): void;
  /** Latest first. */
  holders(digest: string): readonly BackendId[];
  /** Where the client's uploads go; null when it has not uploaded lately. */
  pinned(client: ClientId): BackendId | null;
  pin(client: ClientId, backend: BackendId): void;
}

/** Digests, and clients, that are remembered; the oldest is forgotten first. */
const LIMIT = 10_000;
/** Between two uploads of one create, or the last of them and the create. */
const PIN_MS = 15 * 60_000;

export function createBlobMemory({ clock }: { readonly clock: Clock }): BlobMemory {
  const digests = new Recent<Map<BackendId, Millis>>(LIMIT);
  const pins = new Recent<{ readonly backend: BackendId; readonly until: Millis }>(LIMIT);
  return {
    remember(digest, backend, ttlMs) {
      const held = digests.get(digest) ?? new Map<BackendId, Millis>();
      held.delete(backend);
      held.set(backend, clock.now() + ttlMs);
      digests.set(digest, held);
    },
    forget(digest, backend) {
      const held = digests.get(digest);
      held?.delete(backend);
      if (held?.size === 0) digests.delete(digest);
    },
    holders(digest) {
      const now = clock.now();
      const fresh = [...(digests.get(digest) ?? [])].filter(([, until]) => until > now);
      return fresh.map(([backend]) => backend).reverse();
    },
    pinned(client) {
      const pin = pins.get(client);
      return pin !== undefined && pin.until > clock.now() ? pin.backend : null;
    },
    pin(client, backend) {
      pins.set(client, { backend, until: clock.now() + PIN_MS });
    },
  };
}

/** A map that keeps the entries set last. */
class Recent<T> {
  readonly #entries = new Map<string, T>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): T | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: T): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > this.#limit && oldest.done !== true) this.#entries.delete(oldest.value);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
