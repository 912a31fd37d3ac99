/**
 * Who changed models or the gateway, and who was refused, as entries for the audit file. Only what is known of the request is in
 * them, never what it carried. Refusals are bounded: somebody who guesses keys must not be able to fill a disk.
 */
import type { AuditEntry } from '../core/audit-entry.ts';
import type { Event, RequestFinished } from '../core/events.ts';
import type { Millis } from '../core/types.ts';

export interface AuditDependencies {
  /** Epoch milliseconds. */
  readonly wallNow: () => number;
  readonly append: (entry: AuditEntry) => void;
  /** Routes that change something, by method and template: `POST /api/pull`. */
  readonly changes: ReadonlySet<string>;
}

/** Refusals written down in a minute; of the others only the number is. */
const MOST_REFUSALS = 20;
const MINUTE: Millis = 60_000;

const refusals: ReadonlySet<string> = new Set(['unauthorized', 'forbidden', 'rate-limited']);

export function createAudit({ append, changes, wallNow }: AuditDependencies): (event: Event) => void {
  let minute = 0;
  let written = 0;
  let left = 0;

  function mayWriteRefusal(now: number): boolean {
    if (now - minute >= MINUTE) {
      if (left > 0)
        append({ time: iso(now), who: '-', what: 'refused', outcome: 'more', detail: `${left} in a minute` });
      [minute, written, left] = [now, 0, 0];
    }
    if (written >= MOST_REFUSALS) left += 1;
    else written += 1;
    return left === 0;
  }

  return (event) => {
    const now = wallNow();
    if (event.kind === 'config-reloaded') {
      append({ time: iso(now), who: 'admin', what: 'configuration reloaded', outcome: event.ok ? 'ok' : 'refused' });
      return;
    }
    if (event.kind === 'operated') {
      const { address, outcome, target, what } = event;
      append({ time: iso(now), who: 'admin', what, ...(target !== null && { target }), outcome, address });
      return;
    }
    if (event.kind !== 'request-finished') return;
    const isChange = changes.has(`${event.method} ${event.route}`);
    const isRefusal = refusals.has(event.outcome);
    if (!isChange && !isRefusal) return;
    if (!isChange && !mayWriteRefusal(now)) return;
    append(entryOf(event, now));
  };
}

function entryOf(
  { address, client, method, model, outcome, requestId, route }: RequestFinished,
  now: number,
): AuditEntry {
  return {
    time: iso(now),
    who: client,
    what: `${method} ${route}`,
    ...(model !== null && { target: model }),
    outcome,
    address,
    requestId,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
