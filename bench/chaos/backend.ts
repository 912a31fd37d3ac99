/**
 * A backend of a chaos run, a process of its own that can be killed at any moment: answers an Ollama's probes, and any request as
 * the script in its prompt says. Every event is written out before it happens on the wire, so that a kill loses none.
 *
 * Arguments: its name, and a file for events. The parent sends `Order`s; before the first it is a spare, and does not listen.
 */
import { openSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { nowMicros } from '../load/script.ts';
import type { HistoryEvent } from './history.ts';
import {
  closingFrames,
  contentFrame,
  contentTypeOf,
  errorAnswer,
  errorFrame,
  MODEL,
  openingFrames,
  piece,
  readRequest,
  voiceOf,
  wholeAnswer,
  type Fault,
  type Script,
  type Voice,
} from './voice.ts';

/**
 * What the whole backend does. `wedged`: probes are answered, requests never. `deaf`: nothing is answered. `busy`: requests get
 * 503, its queue is full.
 */
export type Mood = 'well' | 'wedged' | 'deaf' | 'busy';

export type Order =
  /** `life` is how often a backend of this name has been started; port 0 is any. The parent is told the port. */
  { readonly do: 'listen'; readonly life: number; readonly port: number } | { readonly do: 'be'; readonly mood: Mood };

const [name = 'b1', file = '/dev/null'] = process.argv.slice(2);
const log = openSync(file, 'a');
let mood: Mood = 'well';
let life = 0;
let count = 0;

function tell(event: HistoryEvent): void {
  writeSync(log, `${JSON.stringify(event)}\n`);
}

function now(): number {
  return nowMicros() / 1000;
}

const model = {
  name: MODEL,
  model: MODEL,
  modified_at: '2026-01-01T00:00:00Z',
  size: 1000,
  digest: 'c'.repeat(64),
  details: { family: 'llama', parameter_size: '1B', quantization_level: 'Q4_0' },
};
const probes: Readonly<Record<string, string>> = {
  '/api/version': JSON.stringify({ version: '0.34.2' }),
  '/api/tags': JSON.stringify({ models: [model] }),
  '/api/ps': JSON.stringify({
    models: [{ ...model, size_vram: 1000, expires_at: '2318-01-01T00:00:00Z', context_length: 4096 }],
  }),
};

const server = createServer((request, response) => {
  if (mood === 'deaf') return;
  const path = request.url ?? '';
  const probe = probes[path];
  if (request.method === 'GET' && probe !== undefined) {
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.end(probe);
    return;
  }
  const voice = voiceOf(path);
  if (voice === null) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('404 page not found');
    return;
  }
  void receive(request).then((body) => {
    if (body !== null) new Answer(voice, body, request, response).begin();
  });
});

/** Null when the gateway gave up while it was sending. */
async function receive(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  } catch {
    return null;
  }
}

class Answer {
  readonly #voice: Voice;
  readonly #response: ServerResponse;
  readonly #script: Script;
  readonly #stream: boolean;
  readonly #serial: string;
  readonly #fault: Fault | null;
  #sent = 0;
  #isOver = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(voice: Voice, body: string, request: IncomingMessage, response: ServerResponse) {
    const { script, stream } = readRequest(body);
    this.#voice = voice;
    this.#script = script;
    this.#stream = stream;
    this.#response = response;
    this.#serial = `${name}.${life}.${++count}`;
    const { fault } = script;
    this.#fault = fault !== undefined && (fault.on?.includes(name) ?? true) ? fault : null;
    const id = String(request.headers['x-request-id']);
    tell({ kind: 'arrived', at: now(), backend: name, serial: this.#serial, nonce: script.nonce, id, voice });
    response.on('close', () => this.#closed());
  }

  begin(): void {
    if (mood === 'wedged') return;
    if (mood === 'busy') return this.#refuse(503);
    this.#after(this.#script.delayMs, () => this.#start());
  }

  #start(): void {
    const fault = this.#fault;
    if (fault?.kind === 'status') return this.#refuse(fault.status ?? 500);
    const isBeforeHead = fault?.kind === 'kill' || fault?.kind === 'cut' || fault?.kind === 'silent';
    if (fault?.at === 0 && isBeforeHead && this.#strike(fault.kind)) return;
    const type = contentTypeOf(this.#voice, this.#stream);
    if (!this.#stream) {
      if (fault !== null) {
        if (fault.kind !== 'error-frame') this.#response.setHeader('Content-Type', type);
        this.#strike(fault.kind);
        return;
      }
      const parts = Array.from({ length: this.#script.pieces }, (_, index) => this.#piece(index));
      const body = wholeAnswer(this.#voice, parts.join(''));
      tell({ kind: 'started', at: now(), serial: this.#serial });
      this.#answered('complete', 200);
      this.#response.writeHead(200, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
      this.#response.end(body);
      return;
    }
    this.#response.writeHead(200, { 'Content-Type': type });
    const opening = openingFrames(this.#voice);
    if (opening !== '') this.#response.write(opening);
    tell({ kind: 'started', at: now(), serial: this.#serial });
    this.#next();
  }

  /** Sends the piece that is due, and sees to the one after it. */
  #next(): void {
    const { everyMs, pieces } = this.#script;
    for (;;) {
      if (this.#isOver) return;
      const fault = this.#fault;
      if (fault?.at === this.#sent && this.#strike(fault.kind)) return;
      if (this.#sent === pieces) return this.#finish();
      const hasRoom = this.#response.write(contentFrame(this.#voice, this.#piece(this.#sent)));
      this.#sent += 1;
      if (everyMs > 0) return this.#after(everyMs, () => this.#next());
      if (!hasRoom) {
        this.#response.once('drain', () => this.#next());
        return;
      }
    }
  }

  #finish(): void {
    this.#answered('complete', 200);
    this.#response.end(closingFrames(this.#voice));
  }

  /** Whether the fault ends the answer. */
  #strike(kind: Fault['kind']): boolean {
    const response = this.#response;
    switch (kind) {
      case 'kill':
        this.#answered('cut', 0);
        process.kill(process.pid, 'SIGKILL');
        return true;
      case 'cut':
        this.#answered('cut', 0);
        response.socket?.resetAndDestroy();
        return true;
      case 'torn': {
        this.#answered('cut', 0);
        const frame = this.#stream ? contentFrame(this.#voice, this.#piece(this.#sent)) : '{"half":';
        response.write(frame.slice(0, frame.length / 2), () => response.destroy());
        return true;
      }
      case 'unmarked':
        this.#answered('unmarked', 200);
        response.end();
        return true;
      case 'error-frame':
        if (!this.#stream) return this.#strike('status');
        this.#answered('error-frame', 200);
        response.end(errorFrame(this.#voice, 'llama runner process has terminated: exit status 2'));
        return true;
      case 'silent':
        return true;
      case 'status':
        this.#refuse(this.#fault?.status ?? 500);
        return true;
      default:
        return kind satisfies never;
    }
  }

  #refuse(status: number): void {
    const text = refusals[status] ?? 'something else';
    const body = errorAnswer(this.#voice, status, text);
    this.#answered('error', status);
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (status === 429) headers['Retry-After'] = '1';
    this.#response.writeHead(status, headers).end(body);
  }

  #piece(index: number): string {
    return piece(this.#script.nonce, this.#serial, index, this.#script.padding);
  }

  #answered(how: 'complete' | 'error' | 'error-frame' | 'cut' | 'unmarked', status: number): void {
    this.#isOver = true;
    tell({ kind: 'answered', at: now(), serial: this.#serial, how, status });
  }

  #after(ms: number, then: () => void): void {
    if (ms <= 0) then();
    else this.#timer = setTimeout(then, ms);
  }

  #closed(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#response.writableFinished) return;
    const wasOver = this.#isOver;
    this.#isOver = true;
    if (!wasOver) tell({ kind: 'aborted', at: now(), serial: this.#serial });
  }
}

/** What an Ollama says with a status. */
const refusals: Readonly<Record<number, string>> = {
  400: 'invalid options: mirostat',
  404: `model '${MODEL}' not found`,
  429: 'you have reached your usage limit',
  500: 'llama runner process has terminated: exit status 2',
  502: 'bad gateway',
  503: 'server busy, please try again.  maximum pending requests exceeded',
};

process.on('message', (message) => {
  const order = message as Order;
  if (order.do === 'be') {
    mood = order.mood;
    return;
  }
  ({ life } = order);
  server.listen({ host: '127.0.0.1', port: order.port, backlog: 4096 }, () => {
    tell({ kind: 'listening', at: now(), backend: name });
    process.send?.({ port: (server.address() as AddressInfo).port });
  });
});
process.on('disconnect', () => process.exit());

server.keepAliveTimeout = 0;
server.requestTimeout = 0;
process.send?.('ready');
