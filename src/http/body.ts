/** Receives a request's body whole, within a size and a time. */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../core/errors.ts';
import type { Clock, Millis } from '../core/types.ts';

export interface BodyLimits {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds until the last byte; 0 means no limit. The time grows with `minimumRate`. */
  readonly timeout: Millis;
  /** Bytes a second a slow but honest upload must keep; it earns time for what has arrived. */
  readonly minimumRate: number;
}

/**
 * Rejects with `body-too-large` as soon as that is known, `receive-timeout` when the body is too slow, `client-gone` when the
 * connection closes first.
 */
export function receiveBody(request: IncomingMessage, limits: BodyLimits, clock: Clock): Promise<Buffer> {
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
    const deadline = () => startedAt + limits.timeout + (size / limits.minimumRate) * 1000;
    let timer = limits.timeout > 0 ? clock.after(limits.timeout, look) : null;

    function look(): void {
      const rest = deadline() - clock.now();
      if (rest > 0) timer = clock.after(rest, look);
      else finish(new GatewayError('receive-timeout', 'the request body did not arrive in time'));
    }
    function finish(error: GatewayError | null): void {
      timer?.cancel();
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      // A late error event must find a listener.
      request.on('error', () => {});
      if (error !== null) reject(error);
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size));
    }
    function onData(chunk: Buffer): void {
      size += chunk.length;
      if (size > limits.size) finish(tooLarge(limits.size));
      else chunks.push(chunk);
    }
    function onEnd(): void {
      finish(null);
    }
    function onClose(): void {
      finish(new GatewayError('client-gone', 'the client left while sending'));
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

function tooLarge(limit: number): GatewayError {
  return new GatewayError('body-too-large', `the request body is larger than ${limit} bytes (listen.bodyLimit)`);
}
