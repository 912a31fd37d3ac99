/** The last requests that ended, for those who look; and what backends have put out in all. */
import type { Event } from '../../core/events.ts';
import type { BackendId } from '../../core/types.ts';
import { showFinished } from './show.ts';
import type { FinishedRequest } from './shapes.ts';

export interface History {
  observe(event: Event): void;
  /** Newest first. */
  list(): readonly FinishedRequest[];
  /** Those that ended after the first `count` ones, newest first, as far as they are remembered. */
  since(count: number): readonly FinishedRequest[];
  find(id: string): FinishedRequest | null;
  /** How many have ended in all. */
  readonly count: number;
  /** Output tokens of all finished requests, by who answered them. */
  readonly tokens: ReadonlyMap<BackendId, number>;
}

const CAPACITY = 250;

/** Requests are kept as they were told, and put into words only for who asks: most never are. */
export function createHistory(wallNow: () => number): History {
  const ring: (() => FinishedRequest)[] = [];
  const tokens = new Map<BackendId, number>();
  let count = 0;

  function newest(most: number): FinishedRequest[] {
    const held = Math.min(ring.length, most);
    return Array.from({ length: held }, (_, back) => ring[(count - 1 - back) % CAPACITY]!());
  }

  return {
    observe(event) {
      // What was answered from memory, such as lists and versions, nobody wonders about.
      if (event.kind !== 'request-finished' || (event.backend === null && event.status < 400)) return;
      const endedAt = wallNow();
      ring[count % CAPACITY] = () => showFinished(event, endedAt);
      count += 1;
      const { backend, usage } = event;
      if (backend === null || usage.outputTokens === undefined) return;
      tokens.set(backend, (tokens.get(backend) ?? 0) + usage.outputTokens);
    },
    list: () => newest(CAPACITY),
    since: (seen) => newest(count - seen),
    find: (id) => newest(CAPACITY).find((request) => request.id === id) ?? null,
    get count() {
      return count;
    },
    tokens,
  };
}
