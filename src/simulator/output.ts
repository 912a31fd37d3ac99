/** Where an answer's bytes go. Faults put themselves between an exchange and the connection by wrapping an Output. */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../core/types.ts';

export interface Output {
  /** `fields` is name, value, name, value …, written as they stand. */
  head(status: number, fields: readonly string[]): void;
  /** One flush of the body. False when the connection is full; `onDrain` tells when it no longer is. */
  flush(bytes: string | Uint8Array): boolean;
  end(): void;
  /** Ends the connection without ending the answer, once what was flushed is on its way. */
  cut(how: 'reset' | 'close'): void;
  onDrain(run: () => void): void;
}

/** How long Go keeps reading from a client to which it has said `Connection: close`, so that it hears the answer. */
const lingerMs = 500;

/** The connection itself. `sent` is told the status once and then the body's bytes. */
export function connectionOutput(
  response: ServerResponse,
  clock: Clock,
  sent: { head(status: number): void; body(bytes: number): void },
): Output {
  response.sendDate = false;
  // Without it Node would add its own.
  response.removeHeader('connection');
  response.on('error', () => undefined);
  let isChunked = false;
  let isHeadSent = false;

  function sendHead(): void {
    if (isHeadSent || !response.headersSent) return;
    isHeadSent = true;
    response.flushHeaders();
  }

  /** Node would make one chunk of all that is written in one turn of its loop; Ollama makes one a flush. */
  function writeChunk(socket: Socket, bytes: string | Uint8Array): boolean {
    if (socket.writableCorked === 0) {
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
    sendHead();
    const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
    if (typeof bytes === 'string') return socket.write(`${length.toString(16)}\r\n${bytes}\r\n`);
    socket.write(`${length.toString(16)}\r\n`);
    socket.write(bytes);
    return socket.write('\r\n');
  }

  return {
    head(status, fields) {
      sent.head(status);
      lingerAfterClose(response, fields, clock);
      isChunked = fields.includes('Transfer-Encoding');
      response.writeHead(status, [...fields]);
    },
    flush(bytes) {
      sent.body(typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length);
      const { socket } = response;
      if (bytes.length === 0) return true;
      // No socket: an earlier answer on the same connection is still being written.
      return isChunked && socket !== null ? writeChunk(socket, bytes) : response.write(bytes);
    },
    end: () => void response.end(),
    cut(how) {
      const { socket } = response;
      if (socket === null) return;
      const now = (): void => void (how === 'reset' ? socket.resetAndDestroy() : socket.destroySoon());
      sendHead();
      if (socket.writableLength === 0) now();
      else socket.write('', now);
    },
    onDrain: (run) => void (isChunked && response.socket !== null ? response.socket : response).once('drain', run),
  };
}

/**
 * Node closes the socket as soon as an answer with `Connection: close` is written; with the request's body still under way
 * that is a reset, and the client may never see the answer. Go shuts its half, reads on for a moment, then closes.
 */
function lingerAfterClose(response: ServerResponse, fields: readonly string[], clock: Clock): void {
  const { socket, req: request } = response;
  const connection = fields.indexOf('Connection');
  if (socket === null || fields[connection + 1] !== 'close' || request.complete) return;
  socket.destroySoon = () => {
    request.resume();
    socket.end();
    const timer = clock.after(lingerMs, () => socket.destroy());
    socket.once('close', () => timer.cancel());
  };
}
