/** What a client's grant makes of a request that has come: it goes as it is, it is changed and read again, or it is refused. */
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import type { Grant } from '../core/grants.ts';
import { limitsModels, limitsWishes, lower, watchedFields, type Lowered } from '../core/limits.ts';
import type { Dialect, Reading, ReadContext, Route } from '../dialects/dialect.ts';
import { inspect, type Inspection } from '../dialects/inspection.ts';
import { rewriteBody, type BodyChanges } from '../dialects/rewrite.ts';
import type { Ruled } from './rules.ts';

export interface LimitedRequest {
  readonly route: Route;
  readonly dialect: Dialect;
  /** Plain, as it would be sent on. */
  readonly body: Buffer;
  readonly reading: Reading;
}

/**
 * Null when nothing changes. Throws GatewayError `bad-request` for a body that says in two ways what the grant limits, and
 * `forbidden` for what it denies.
 */
export function applyLimits(request: LimitedRequest, grant: Grant, context: ReadContext, emit: Emit): Ruled | null {
  const { body, dialect, reading, route } = request;
  const looksAtWishes = route.kind === 'infer' && limitsWishes(grant);
  if (!looksAtWishes && !(reading.ambiguous && limitsModels(grant))) return null;
  const inspection = refuseAmbiguous(request, grant);
  // What names no model runs none, whatever else it says.
  if (inspection === null || !looksAtWishes || reading.modelText === null) return null;
  const lowered = lower(inspection, grant);
  if (lowered === null) return null;
  if (reading.model !== null) emit({ kind: 'request-rewritten', model: reading.model, rewrites: ['grant'] });
  const changed = rewriteBody(body, changesOf(lowered));
  return { body: changed, reading: dialect.read(route, changed, context) };
}

/** Whether the grant makes any difference to a body. */
export function isLimited(grant: Grant): boolean {
  return limitsWishes(grant) || limitsModels(grant);
}

/** A body that cannot be looked into is not passed on unseen. */
export function refuseUnseen(grant: Grant): void {
  if (!isLimited(grant)) return;
  throw new GatewayError('bad-request', 'the body is compressed in a way that cannot be read here; send it as it is');
}

/** What the body asks for; null where that is not JSON. */
function refuseAmbiguous({ body, reading, route }: LimitedRequest, grant: Grant): Inspection | null {
  if (route.endpoint === 'transcriptions') {
    if (reading.ambiguous && watchedFields(grant).includes('model')) throw ambiguous('model');
    return null;
  }
  // Other routes take no body, or one that names no model.
  if (body.length === 0) return null;
  const inspection = inspect(route, body);
  const watched = watchedFields(grant);
  const field = inspection.ambiguous.find((name) => watched.includes(name));
  if (field !== undefined) throw ambiguous(field);
  return inspection;
}

function ambiguous(field: string): GatewayError {
  return new GatewayError(
    'bad-request',
    `the body states \`${field}\` twice, or under another spelling; state it once`,
  );
}

function changesOf({ keepAliveMs, members, options }: Lowered): BodyChanges {
  return {
    ...(options !== undefined && { options }),
    ...(members !== undefined && { members }),
    ...(keepAliveMs !== undefined && { keepAlive: Math.floor(keepAliveMs / 1000) }),
  };
}
