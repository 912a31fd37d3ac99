/** See reference.ts. Arguments: the port to listen on, the backend's port. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Pool, type Dispatcher } from 'undici';

const [port, backendPort] = process.argv.slice(2).map(Number);
const pool = new Pool(`http://127.0.0.1:${backendPort}`, { connections: null, headersTimeout: 0, bodyTimeout: 0 });

class Handler implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) controller.abort(new Error('the client left'));
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[]>,
  ) {
    const kept = Object.fromEntries(
      Object.entries(headers).filter(([name]) => name !== 'connection' && name !== 'transfer-encoding'),
    );
    this.#response.writeHead(status, kept);
  }

  onResponseData(controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (!this.#response.write(bytes)) {
      controller.pause();
      this.#response.once('drain', () => controller.resume());
    }
  }

  onResponseEnd(): void {
    this.#response.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#response.destroy(error);
  }
}

function pass(request: IncomingMessage, response: ServerResponse): void {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    const body = pieces.length === 0 ? null : Buffer.concat(pieces);
    pool.dispatch(
      {
        path: request.url ?? '/',
        method: request.method as Dispatcher.HttpMethod,
        headers: { 'content-type': 'application/json' },
        body,
      },
      new Handler(response),
    );
  });
}

const server = createServer({ noDelay: true, keepAliveTimeout: 600_000, requestTimeout: 0 }, pass);
server.listen({ host: '127.0.0.1', port, backlog: 1024 });
process.on('SIGTERM', () => process.exit());
