/** A connection held in the hand: what has come so far, how it ended, and the means to leave. */
import { once } from 'node:events';
import { connect } from 'node:net';

export interface RawClient {
  /** Everything received. */
  text(): string;
  /** Resolves when the received text contains `wanted`; rejects when the connection ends before. */
  receives(wanted: string): Promise<void>;
  /** `end`: closed in good order; else the error's code, e.g. `ECONNRESET`. */
  readonly ended: Promise<string>;
  write(text: string | Buffer): void;
  /** Stops reading, as a client that hangs does. */
  stall(): void;
  leave(): void;
  /** Says that nothing more will be sent, and goes on reading. */
  halfClose(): void;
}

export async function rawClient(port: number, text: string | Buffer = ''): Promise<RawClient> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  let failure: string | null = null;
  let heard: () => void = () => undefined;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    heard();
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.message;
  });
  const ended = new Promise<string>((resolve) => {
    socket.once('close', () => {
      heard();
      resolve(failure ?? 'end');
    });
  });
  await once(socket, 'connect');
  socket.write(text);
  return {
    text: () => received,
    async receives(wanted) {
      while (!received.includes(wanted)) {
        if (socket.closed) throw new Error(`ended without ${wanted}: ${received.slice(-500)}`);
        await new Promise<void>((resolve) => {
          heard = resolve;
        });
      }
    },
    ended,
    write: (more) => void socket.write(more),
    stall: () => void socket.pause(),
    leave: () => void socket.destroy(),
    halfClose: () => void socket.end(),
  };
}

/** A request with a JSON body, as bytes. */
export function jsonRequest(path: string, body: unknown, method = 'POST'): Buffer {
  const text = Buffer.from(JSON.stringify(body));
  const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n`;
  return Buffer.concat([Buffer.from(`${head}Content-Length: ${text.length}\r\n\r\n`), text]);
}
