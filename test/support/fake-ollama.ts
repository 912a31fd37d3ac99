/**
 * A scripted backend: answers probes like an Ollama and everything else as the test says, one step at a time. For behaviour in
 * bulk, or for exact bytes, use the simulator.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly response: ServerResponse;
  /** Resolves when the gateway has closed the connection before the answer was complete. */
  readonly aborted: Promise<void>;
}

export type Handler = (asked: Asked) => void | Promise<void>;

export interface FakeOllama {
  readonly url: string;
  readonly port: number;
  /** Requests other than probes, in order. */
  readonly asked: readonly Asked[];
  /** Probes answered or refused so far. */
  readonly probes: number;
  handler: Handler;
  /** Resolves with the next request that is not a probe. */
  next(): Promise<Asked>;
  /** Stops listening and cuts every connection. */
  kill(): Promise<void>;
  /** Listens again on the same port. */
  revive(): Promise<void>;
}

export interface FakeOptions {
  readonly models?: readonly string[];
  /** In memory; all `models` unless told, so that no gateway loads them first. */
  readonly resident?: readonly string[];
  readonly version?: string;
  /** Of every model. */
  readonly digest?: string;
  readonly handler?: Handler;
}

export async function fakeOllama(t: TestContext, options: FakeOptions = {}): Promise<FakeOllama> {
  const { models = ['tiny:latest'], resident = models, version = '0.33.0', digest = 'd'.repeat(64) } = options;
  const asked: Asked[] = [];
  const waiting: ((asked: Asked) => void)[] = [];
  const sockets = new Set<Socket>();
  let probes = 0;
  let server: Server;

  const fake = {
    handler: options.handler ?? ((request: Asked) => answerChat(request)),
  };

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '';
    const list = (names: readonly string[]) =>
      JSON.stringify({ models: names.map((name) => ({ ...entry(name), digest })) });
    if (request.method === 'GET' && ['/api/version', '/api/tags', '/api/ps'].includes(path)) {
      probes += 1;
      response.setHeader('Content-Type', 'application/json; charset=utf-8');
      response.end(
        path === '/api/version' ? JSON.stringify({ version }) : list(path === '/api/tags' ? models : resident),
      );
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const aborted = new Promise<void>((resolve) => {
      response.on('close', () => {
        if (!response.writableFinished) resolve();
      });
    });
    const one = {
      method: request.method ?? '',
      path,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      response,
      aborted,
    };
    asked.push(one);
    waiting.shift()?.(one);
    await fake.handler(one);
  }

  async function listen(port: number): Promise<number> {
    server = createServer((request, response) => {
      take(request, response).catch(() => response.destroy());
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  async function kill(): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  }

  const port = await listen(0);
  t.after(kill);
  return {
    get handler() {
      return fake.handler;
    },
    set handler(handler) {
      fake.handler = handler;
    },
    url: `http://127.0.0.1:${port}`,
    port,
    asked,
    get probes() {
      return probes;
    },
    next: () => new Promise<Asked>((resolve) => waiting.push(resolve)),
    kill,
    revive: async () => void (await listen(port)),
  };
}

function entry(name: string): Record<string, unknown> {
  return {
    name,
    model: name,
    modified_at: '2026-11-22T14:29:21.000000000Z',
    size: 1000,
    size_vram: 1000,
    context_length: 4096,
    expires_at: '2318-11-22T14:29:21Z',
    digest: 'd'.repeat(64),
    details: {
      parent_model: '',
      format: 'gguf',
      family: 'llama',
      families: ['llama'],
      parameter_size: '1B',
      quantization_level: 'Q4_0',
    },
  };
}

/** One NDJSON line of a chat answer. */
export function chatLine(content: string, done = false): string {
  const end = done
    ? ',"done_reason":"stop","total_duration":3000000,"prompt_eval_count":5,"prompt_eval_duration":1000000,"eval_count":2,"eval_duration":2000000'
    : '';
  return `{"model":"tiny","created_at":"2026-11-22T14:29:35.53Z","message":{"role":"assistant","content":${JSON.stringify(content)}},"done":${done}${end}}\n`;
}

/** Starts a stream of the dialect the path belongs to. */
export function startStream({ path, response }: Asked): void {
  response.writeHead(200, { 'Content-Type': path.startsWith('/v1/') ? 'text/event-stream' : 'application/x-ndjson' });
}

/** A whole chat answer, streamed or not as the body asks. */
export function answerChat(asked: Asked): void {
  const { stream } = JSON.parse(asked.body || '{}') as { stream?: boolean };
  if (stream === false) {
    asked.response.setHeader('Content-Type', 'application/json; charset=utf-8');
    asked.response.end(chatLine('hello', true).trimEnd());
    return;
  }
  startStream(asked);
  asked.response.write(chatLine('hel'));
  asked.response.end(chatLine('lo') + chatLine('', true));
}
