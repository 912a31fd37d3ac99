/** Says a GatewayError to the caller, in the caller's dialect, before or after the head. */
import { GatewayError, type FailureCode } from '../core/errors.ts';
import { unknownModelError } from '../dialects/error-bodies.ts';
import type { Dialect, MeterReport, Rendered, Route } from '../dialects/dialect.ts';
import type { Account } from './account.ts';
import type { Exchange } from './exchange.ts';
import { hasUnreadBody } from './headers.ts';
import { endWithoutBody } from './linger.ts';

/** An error of any origin as a GatewayError; what is not one is our bug. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  return new GatewayError('internal', 'the gateway made a mistake; its log has the details', { cause: error });
}

/** A whole error answer; nothing has been sent yet. */
export function answerError(exchange: Exchange, dialect: Dialect, error: GatewayError, account: Account): void {
  answerRendered(exchange, dialect.renderError(error, account.requestId), error.code, account);
}

/** Ollama words this one differently for each endpoint, with the model as the client spelled it. */
export function answerUnknownModel(exchange: Exchange, route: Route, modelText: string, account: Account): void {
  answerRendered(exchange, unknownModelError(route, modelText, account.requestId), 'unknown-model', account);
}

function answerRendered(exchange: Exchange, rendered: Rendered, outcome: FailureCode, account: Account): void {
  account.outcome = outcome;
  account.status = rendered.status;
  if (exchange.hasLeft) return;
  const headers: string[] = [];
  for (const [name, value] of Object.entries(rendered.headers)) headers.push(spelled(name), value);
  headers.push('X-Request-Id', account.requestId, ...account.quotaHeaders);
  // The rest of a body we refused to read would otherwise have to be read to keep the connection.
  // Who has had its time to send gets no more of it.
  const hasHadItsTime = outcome === 'receive-timeout';
  if (hasHadItsTime || hasUnreadBody(exchange.request)) headers.push('Connection', 'close');
  const body = Buffer.from(rendered.body, 'utf8');
  exchange.head(rendered.status, headers, body.length);
  exchange.write(body);
  if (hasHadItsTime) exchange.end();
  else endWithoutBody(exchange);
}

/** `content-type` as Ollama writes it, `Content-Type`. */
function spelled(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
}

/**
 * The answer has begun: says the error in-band where the stream's format can carry it, then cuts the connection.
 * `separator` begins a frame of its own; null when the format carries no error. `after` is what the meter reports so far.
 */
export function cutWithError(
  exchange: Exchange,
  dialect: Dialect,
  error: GatewayError,
  {
    account,
    separator,
    after,
  }: { readonly account: Account; readonly separator: string | null; readonly after?: MeterReport | undefined },
): void {
  account.outcome = error.code;
  if (separator !== null)
    exchange.write(Buffer.from(separator + dialect.renderInBandError(error, account.requestId, after), 'utf8'));
  exchange.cut();
}
