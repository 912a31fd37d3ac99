/**
 * Ends an answer to a request whose body is still on its way. Closing at once would reset the connection, and the client, busy
 * sending, would often see the reset instead of the answer.
 */
import type { Exchange } from './exchange.ts';
import { hasUnreadBody } from './headers.ts';

/** How long the rest of the body is read and dropped; the answer itself is out before that. */
const LINGER_MS = 2000;

export function endWithoutBody(exchange: Exchange): void {
  const { request } = exchange;
  if (exchange.hasLeft || !hasUnreadBody(request)) {
    exchange.end();
    return;
  }
  const done = (): void => {
    clearTimeout(timer);
    request.off('end', done).off('close', done);
    exchange.end();
  };
  const timer = setTimeout(done, LINGER_MS);
  request
    .on('end', done)
    .on('close', done)
    .on('error', () => {});
  request.resume();
}
