/** A request that is no inference: what its handlers share, and how its failures are said. */
import type { BackendClient, CallTimeouts } from '../backends/client.ts';
import type { Refreshed } from '../backends/prober.ts';
import type { Catalogue } from '../core/catalogue.ts';
import { GatewayError } from '../core/errors.ts';
import type { Emit } from '../core/events.ts';
import type { BackendView } from '../core/fleet.ts';
import type { BackendId, Clock, Millis } from '../core/types.ts';
import type { Dialect, Reading, Route } from '../dialects/dialect.ts';
import { openAccount, type Account } from './account.ts';
import { applyLimits } from './limits.ts';
import { applyRules, type RuleBook } from './rules.ts';
import { receiveBody, type BodyLimits } from './body.ts';
import { answerError, answerUnknownModel, asGatewayError } from './errors.ts';
import { permitChange, permitRun, remoteModels } from './permit.ts';
import type { Exchange } from './exchange.ts';
import type { Pressure } from './pressure.ts';
import { LARGE_BODY } from './turns.ts';

/** What the handlers need of the other rooms. */
export interface Grounds {
  readonly client: (id: BackendId) => BackendClient;
  /** Asks backends what they have, or have in memory, now. */
  readonly refresh: (ids: readonly BackendId[], what: Refreshed) => Promise<void>;
  /** The configured backends, in their order. */
  readonly view: () => readonly BackendView[];
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly pressure: Pressure;
  readonly hash: (text: string | Uint8Array) => string;
  readonly limits: BodyLimits;
  readonly book: RuleBook;
  /** For questions that are answered at once. */
  readonly timeouts: CallTimeouts;
}

export interface Visit {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly dialect: Dialect;
  readonly account: Account;
  readonly clock: Clock;
  /** The part of the path that the route's `:name` stands for; null when it has none. */
  readonly parameter: string | null;
}

/** The model is not in the catalogue; Ollama words this differently for each endpoint. */
export class UnknownModel extends Error {
  readonly modelText: string;

  constructor(modelText: string) {
    super('no backend has the model');
    this.modelText = modelText;
  }
}

/** Opens the account, lets `handle` answer, and says what it throws. */
export async function receiveVisit(
  exchange: Exchange,
  where: Pick<Visit, 'route' | 'dialect' | 'parameter'>,
  { clock, emit, pressure }: Pick<Grounds, 'clock' | 'emit' | 'pressure'>,
  handle: (visit: Visit) => Promise<void>,
): Promise<void> {
  const account = openAccount(exchange, where.route.path, clock, emit);
  // Whoever can say it better, because its answer has begun, puts its own in place of this.
  exchange.onStop = (why) => {
    if (!exchange.headSent) answerError(exchange, where.dialect, why, account);
  };
  try {
    const refusal = pressure.refusal();
    if (refusal !== null) throw refusal;
    await handle({ ...where, exchange, account, clock });
  } catch (error) {
    if (error instanceof UnknownModel && !exchange.headSent) {
      answerUnknownModel(exchange, where.route, error.modelText, account);
      return;
    }
    const known = asGatewayError(error);
    if (known.code === 'internal') emit({ kind: 'bug', message: String(error), stack: (error as Error).stack });
    if (exchange.headSent) exchange.cut();
    else answerError(exchange, where.dialect, known, account);
  }
}

/** The body, whole, and what the dialect makes of it. */
export async function readVisit(
  { exchange, route, dialect, account }: Visit,
  { book, catalogue, emit, limits, clock, hash }: Grounds,
): Promise<{ readonly body: Buffer; readonly reading: Reading }> {
  const received = await receiveBody(exchange, limits, clock);
  account.bytesIn = received.length;
  const context = { headers: exchange.headers, hash };
  const first = { body: received, reading: dialect.read(route, received, context) };
  // Only looking: what changes a model is about the name it says.
  if (received.length >= LARGE_BODY) await limits.turns.next(exchange.left);
  const ruled = route.endpoint === 'show' ? applyRules({ route, dialect, ...first }, context, book) : null;
  const { body, reading } = ruled ?? first;
  applyLimits({ route, dialect, body, reading }, exchange.client.grant, context, emit);
  account.model = reading.model;
  account.stream = reading.stream;
  if (route.endpoint === 'show') permitRun(exchange.client, first.reading, reading, remoteModels(catalogue));
  else permitChange(exchange.client, reading);
  account.phase = 'waiting';
  return { body, reading };
}

/** Notes whom the request is sent to; their names go to the client in headers. */
export function sentTo(account: Account, backends: readonly BackendId[]): void {
  account.backend = backends[0] ?? null;
  account.reason = 'placement';
  account.attempts = backends.length;
}

/** What a backend that did not answer is to the client. */
export function unanswered(backend: BackendId, failure: { code: GatewayError['code']; message: string }): GatewayError {
  return new GatewayError(failure.code, `backend ${backend} ${failure.message}`, { retryAfterMs: 1000 });
}

/** Resolves with the promise, or after `ms` without it; it goes on then, and its failure is nobody's. */
export async function within(ms: Millis, clock: Clock, promise: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = clock.after(ms, late.resolve);
  await Promise.race([
    promise.then(
      () => {},
      () => {},
    ),
    late.promise,
  ]);
  timer.cancel();
}
