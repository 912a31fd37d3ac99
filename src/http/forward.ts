/**
 * Paths that the gateway does not know, where it is told to pass them on. What is forwarded is a path of plain words; anything
 * that a backend could read as another path than we do is not.
 */
import type { CallTimeouts } from '../backends/client.ts';
import { GatewayError } from '../core/errors.ts';
import { demandModel, demandScope } from '../core/permission.ts';
import { holdersOf } from '../core/placement.ts';
import { dialectOfPath } from '../dialects/dialect-of-path.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { dialects } from '../dialects/index.ts';
import { createMeter } from '../dialects/meter.ts';
import { blankReading } from '../dialects/reading.ts';
import { receiveBody } from './body.ts';
import type { Exchange } from './exchange.ts';
import { ownHeaders, requestHeaders } from './headers.ts';
import { isLimited } from './limits.ts';
import { relayWhole } from './manage.ts';
import { inOrder } from './proxy.ts';
import { Relay } from './relay.ts';
import { unknownPathScope } from './scopes.ts';
import { receiveVisit, sentTo, unanswered, type Grounds, type Visit } from './visit.ts';

/** False when the request is not one to forward; nothing has been done then. */
export type Forward = (exchange: Exchange, path: string, query: string) => boolean;

const PATH = /^\/(?:api|v1)(?:\/[A-Za-z0-9_~:@-][A-Za-z0-9_.~:@-]*)+$/;
const QUERY = /^[\x21\x24-\x7e]{0,2000}$/;
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE']);

export function createForward(grounds: Grounds, timeouts: CallTimeouts): Forward {
  return (exchange, path, query) => {
    if (!methods.has(exchange.method) || !PATH.test(path) || !QUERY.test(query)) return false;
    // What a route that nobody knows makes of a body, nobody can limit.
    if (isLimited(exchange.client.grant)) return false;
    const dialect = dialects[dialectOfPath(path)];
    // In logs and metrics every such path is one: they are a client's text.
    const route: Route = {
      method: exchange.method as Route['method'],
      path: 'other',
      kind: 'proxy',
      endpoint: 'other',
      dialect: dialect.name,
    };
    const upstream = query === '' ? path : `${path}?${query}`;
    void receiveVisit(exchange, { route, dialect: unmetered(dialect), parameter: null }, grounds, (visit) =>
      forward(visit, upstream, grounds, timeouts),
    );
    return true;
  };
}

async function forward(visit: Visit, path: string, grounds: Grounds, timeouts: CallTimeouts): Promise<void> {
  const { account, clock, dialect, exchange, route } = visit;
  demandScope(exchange.client.grant, unknownPathScope);
  const body = await receiveBody(exchange, grounds.limits, clock);
  account.bytesIn = body.length;
  const reading = readModel(route, body, visit, grounds);
  account.model = reading.model;
  if (reading.model !== null) demandModel(exchange.client, reading.model);
  const fleet = grounds.view();
  const holders = reading.model === null ? [] : inOrder(holdersOf(reading.model, fleet));
  const backend = (holders[0] ?? inOrder(fleet)[0])?.id;
  if (backend === undefined) throw new GatewayError('no-backend', 'no backend is up');
  sentTo(account, [backend]);
  const lease = { backend, reason: 'placement' } as const;
  const relay = new Relay({
    exchange,
    dialect,
    route,
    reading,
    lease,
    account,
    clock,
    firstByte: () => {},
    stripper: null,
    pulse: null,
    resumes: null,
  });
  const headers = requestHeaders(exchange.headers, account.requestId, exchange.trace?.traceparent);
  const { method } = route;
  const asked = body.length === 0 ? null : body;
  relay.follow(
    grounds.client(backend).send({ method, path, headers, body: asked, repeatable: false, timeouts }, relay),
  );
  const result = await relay.result;
  if (result.kind === 'failed') throw unanswered(backend, result.failure);
  if (result.kind === 'stopped') throw new GatewayError('shutting-down', 'the gateway is stopping');
  if (result.kind !== 'answered-error') return;
  const { answer } = result;
  relayWhole(visit, { kind: 'answer', ...answer }, ownHeaders(account, lease));
  exchange.end();
}

/** A new endpoint that runs a model names it as the others do. */
function readModel(route: Route, body: Buffer, { exchange }: Visit, { hash }: Grounds): Reading {
  if (body.length === 0) return blankReading;
  try {
    return dialects.ollama.read({ ...route, endpoint: 'show' }, body, { headers: exchange.headers, hash });
  } catch {
    return blankReading;
  }
}

/** How such an answer ends nobody knows, so that an end is an end. */
function unmetered(dialect: Dialect): Dialect {
  return { ...dialect, meter: (route, reading) => createMeter(route, reading, '') };
}
