/** Receives a request's body whole, within a size and a time. */
import { GatewayError } from '../core/errors.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';
import type { Exchange } from './exchange.ts';
import { LARGE_BODY, type Turns } from './turns.ts';

export interface BodyLimits {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds until the last byte; 0 means no limit. */
  readonly timeout: Millis;
  /** Bytes a second a slow but honest upload must keep: each time as many have arrived it has a second more. */
  readonly minimumRate: number;
  /** Where large bodies wait for their turn to be read. */
  readonly turns: Turns;
}

/** Bytes put together within one turn. */
const GATHERED_A_TURN = 16 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Rejects with `body-too-large` as soon as that is known, `receive-timeout` when the body is too slow, `client-gone` when the
 * connection closes first. A large body's promise resolves in a turn of the event loop that it has for itself, so that it can be
 * read at once.
 */
export function receiveBody(
  { left, request }: Pick<Exchange, 'left' | 'request'>,
  limits: BodyLimits,
  clock: Clock,
): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > limits.size) return Promise.reject(tooLarge(limits.size));
  if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined) {
    request.resume();
    return Promise.resolve(Buffer.alloc(0));
  }
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const startedAt = clock.now();
    // Whole seconds: who sends a byte now and then earns nothing by it.
    const deadline = () => startedAt + limits.timeout + Math.floor(size / limits.minimumRate) * 1000;
    let timer: Timer | null = null;
    let isOver = false;
    // Most bodies come with the head and are here before this runs: they need no timer.
    if (limits.timeout > 0) {
      queueMicrotask(() => {
        if (!isOver) timer = clock.after(limits.timeout, look);
      });
    }

    function look(): void {
      const rest = deadline() - clock.now();
      if (rest > 0) timer = clock.after(rest, look);
      else finish(new GatewayError('receive-timeout', 'the request body did not arrive in time'));
    }
    function finish(error: GatewayError | null): void {
      if (isOver) return;
      isOver = true;
      timer?.cancel();
      if (error !== null) reject(error);
      else if (size < LARGE_BODY) resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size));
      else resolve(gather(chunks.slice(), size, () => limits.turns.next(left)));
      // The listeners live as long as the request does; its bytes need not.
      chunks.length = 0;
    }
    function onData(chunk: Buffer): void {
      if (isOver) return;
      size += chunk.length;
      if (size > limits.size) finish(tooLarge(limits.size));
      else chunks.push(chunk);
      if (size >= LARGE_BODY && !isOver && !limits.turns.takes(chunk.length, goOn)) request.pause();
    }
    function goOn(): void {
      request.resume();
    }
    function onEnd(): void {
      finish(null);
    }
    // Stays for what comes after the end: a late error must find a listener.
    function onClose(): void {
      if (!isOver) finish(new GatewayError('client-gone', 'the client left while sending'));
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

/** Puts a large body together, not too much of it in one turn, and lets go of the pieces as it goes. */
async function gather(chunks: Buffer[], size: number, nextTurn: () => Promise<void>): Promise<Buffer> {
  await nextTurn();
  if (chunks.length === 1) return chunks[0]!;
  const body = Buffer.allocUnsafeSlow(size);
  let at = 0;
  let turnEnd = GATHERED_A_TURN;
  for (const [index, chunk] of chunks.entries()) {
    at += chunk.copy(body, at);
    chunks[index] = NOTHING;
    if (at >= turnEnd) {
      await nextTurn();
      turnEnd = at + GATHERED_A_TURN;
    }
  }
  return body;
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body-too-large', `the request body is larger than ${limit} bytes (listen.bodyLimit)`);
}
