/**
 * The mock Ollama of the benchmark: raw sockets and pre-built bytes, so that it is never what is measured. It answers
 * the probes a gateway makes, and `POST /api/chat` as script.ts has it. Not the simulator: it imitates nothing, it is
 * only fast. A process of its own; the parent gets `{ port }` once it listens.
 */
import { createServer, type Socket } from 'node:net';
import {
  CHUNK_INTERVAL_MS,
  CHUNKS_PER_STREAM,
  jsonResponse,
  lastChunk,
  lineChunk,
  models,
  nowMicros,
  smallAnswer,
  streamHead,
} from './script.ts';
import { MessageReader, type MessageSink } from './wire.ts';

/** Characters of a body that are kept to find the model's name in. */
const SNIFFED = 64;
const HOLD_INTERVAL_MS = 1_000;

const details =
  '"details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"1B","quantization_level":"Q4_0"}';
const installed = Object.values(models).map(
  (name, index) =>
    `{"name":"${name}","model":"${name}","modified_at":"2026-01-01T00:00:00Z","size":1000000,"digest":"${String(index).repeat(64)}",${details}}`,
);
const resident = Object.values(models).map(
  (name, index) =>
    `{"name":"${name}","model":"${name}","size":1000000,"digest":"${String(index).repeat(64)}",${details},"expires_at":"2318-01-01T00:00:00Z","size_vram":1000000,"context_length":4096}`,
);

const answers: ReadonlyMap<string, Buffer> = new Map([
  ['/api/version', jsonResponse('{"version":"0.34.2"}')],
  ['/api/tags', jsonResponse(`{"models":[${installed.join(',')}]}`)],
  ['/api/ps', jsonResponse(`{"models":[${resident.join(',')}]}`)],
  ['/api/show', jsonResponse(`{${details},"model_info":{"llama.context_length":4096},"capabilities":["completion"]}`)],
]);
const smallResponse = jsonResponse(smallAnswer);
const notFound = jsonResponse('{"error":"not found"}', '404 Not Found');

/** Streams by the millisecond, modulo the interval, at which their lines are due: one timer serves them all. */
const due: Set<Stream>[] = Array.from({ length: CHUNK_INTERVAL_MS }, () => new Set());
const held = new Set<Stream>();

class Stream {
  readonly socket: Socket;
  sent = 0;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

class Connection implements MessageSink {
  readonly #socket: Socket;
  readonly #reader = new MessageReader(this);
  /** The stream being sent on this connection, and where it waits for its time. */
  #leave: (() => void) | null = null;
  #path = '';
  #sniffed = '';

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#reader.push(bytes));
    // A client that leaves closes; whatever it was sent then is written to nobody.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#leave?.());
  }

  head(text: string): void {
    const start = text.indexOf(' ') + 1;
    this.#path = text.slice(start, text.indexOf(' ', start));
    this.#sniffed = '';
  }

  body(bytes: Buffer, from: number, to: number): void {
    if (this.#sniffed.length < SNIFFED) {
      this.#sniffed += bytes.toString('latin1', from, Math.min(to, from + SNIFFED));
    }
  }

  end(): void {
    if (this.#path !== '/api/chat') {
      this.#socket.write(answers.get(this.#path) ?? notFound);
    } else if (this.#sniffed.includes(models.small)) {
      this.#socket.write(smallResponse);
    } else {
      this.#startStream(this.#sniffed.includes(models.hold));
    }
  }

  #startStream(hold: boolean): void {
    const stream = new Stream(this.#socket);
    this.#socket.write(Buffer.concat([streamHead, lineChunk(nowMicros())]));
    stream.sent = 1;
    const place = hold ? held : due[lastTick % CHUNK_INTERVAL_MS]!;
    place.add(stream);
    this.#leave = () => place.delete(stream);
  }
}

const startedAt = performance.now();
let lastTick = 0;

/** Sends every line that has become due since the last call; a late timer catches up. */
function tick(): void {
  const target = Math.floor(performance.now() - startedAt);
  const line = lineChunk(nowMicros());
  while (lastTick < target) {
    lastTick++;
    sendDue(due[lastTick % CHUNK_INTERVAL_MS]!, line);
    if (lastTick % HOLD_INTERVAL_MS === 0) {
      for (const stream of held) stream.socket.write(line);
    }
  }
  setTimeout(tick, 1);
}

function sendDue(streams: Set<Stream>, line: Buffer): void {
  for (const stream of streams) {
    stream.sent++;
    if (stream.sent === CHUNKS_PER_STREAM) {
      streams.delete(stream);
      stream.socket.write(lastChunk);
    } else {
      stream.socket.write(line);
    }
  }
}

const server = createServer({ noDelay: true }, (socket) => new Connection(socket));
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  process.send?.({ port: address.port });
});
process.on('disconnect', () => process.exit());
tick();
