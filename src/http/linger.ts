/**
 * Answers to requests whose body is still on its way. Closing at once would reset the connection, and the client, busy sending,
 * would often see the reset instead of the answer; waiting for the rest would let a client hold the connection for ever.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Exchange } from './exchange.ts';
import { hasUnreadBody } from './headers.ts';
import { holdsBack } from './node-server.ts';

/** How long the rest of the body is read and dropped; the answer itself is out before that. */
const LINGER_MS = 2000;

/** Closes the connection when the answer is out and the rest of the request does not come soon. */
export function limitRest(request: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    if (request.complete) return;
    const timer = setTimeout(() => request.socket.destroy(), LINGER_MS);
    request.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
    request.resume();
  });
}

/** Ends the answer when the rest of the body has come, or after a while. */
export function endWithoutBody(exchange: Exchange): void {
  const { request } = exchange;
  if (exchange.hasLeft || holdsBack(request) || !hasUnreadBody(request)) {
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
