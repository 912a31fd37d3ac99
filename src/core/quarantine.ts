/**
 * Requests that break backends. A prompt that kills its backend would, retried, kill the fleet one by one; so the same
 * request (by the fingerprint of its body) that has broken two backends without an answer in between is refused for a
 * while. A data structure: fingerprints are made elsewhere, of a keyed hash.
 */
import { Type, type Static } from 'typebox';
import { Duration } from './options.ts';
import type { BackendId, Millis } from './types.ts';

export const QuarantineOptions = Type.Object(
  {
    after: Type.Integer({
      description: 'Different backends a request must have broken before it is refused with 422; 0 turns this off.',
      minimum: 0,
      default: 2,
    }),
    time: Duration({
      description: 'How long it is refused, and how long one broken backend is remembered.',
      default: '5m',
    }),
    limit: Type.Integer({
      description: 'Requests that are remembered; the one remembered for longest is forgotten first.',
      minimum: 1,
      default: 10_000,
    }),
  },
  { additionalProperties: false, description: 'What happens to a request that breaks one backend after the other.' },
);
export type QuarantineOptions = Static<typeof QuarantineOptions>;

export interface Quarantine {
  /** The request broke this backend: it reset the connection, was lost, or its runner died. True when it is refused from now on. */
  broke(fingerprint: string, backend: BackendId, now: Millis): boolean;
  /** The request was answered: whatever it was, the request is not what breaks backends. */
  answered(fingerprint: string): void;
  /** How much longer the request is refused; null when it is not. */
  remaining(fingerprint: string, now: Millis): Millis | null;
  /** Requests that are remembered, refused or not. */
  readonly size: number;
}

interface Suspect {
  readonly backends: ReadonlySet<BackendId>;
  readonly until: Millis;
}

export function createQuarantine(options: QuarantineOptions): Quarantine {
  /** In the order of their `until`, because every entry is made anew at the end. */
  const suspects = new Map<string, Suspect>();

  function known(fingerprint: string, now: Millis): Suspect | undefined {
    const suspect = suspects.get(fingerprint);
    return suspect === undefined || suspect.until <= now ? undefined : suspect;
  }

  function forget(now: Millis): void {
    for (const [fingerprint, suspect] of suspects) {
      if (suspect.until > now && suspects.size <= options.limit) break;
      suspects.delete(fingerprint);
    }
  }

  return {
    broke(fingerprint, backend, now) {
      if (options.after === 0) return false;
      const backends = new Set(known(fingerprint, now)?.backends).add(backend);
      suspects.delete(fingerprint);
      suspects.set(fingerprint, { backends, until: now + options.time });
      forget(now);
      return backends.size >= options.after;
    },
    answered: (fingerprint) => void suspects.delete(fingerprint),
    remaining(fingerprint, now) {
      const suspect = known(fingerprint, now);
      return suspect === undefined || suspect.backends.size < options.after ? null : suspect.until - now;
    },
    get size() {
      return suspects.size;
    },
  };
}
