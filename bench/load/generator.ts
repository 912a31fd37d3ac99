/**
 * The load generator: raw sockets, pre-built requests, every answer checked byte for byte. A process of its own that
 * takes `Order`s from its parent and answers each with `Counts`.
 */
import { connect, type Socket } from 'node:net';
import type { Counts, Load, Order } from './messages.ts';
import { chatRequest, nowMicros, smallAnswer } from './script.ts';
import { Samples } from './statistics.ts';
import { StreamCheck } from './stream-check.ts';
import { MessageReader, statusOf, type MessageSink } from './wire.ts';

/** How long a broken connection waits before it is opened again. */
const RECONNECT_MS = 50;

const latency = new Samples();
const chunkDelay = new Samples();

/** One run of load, from `start` to the end of the last answer after `stop`. */
class Run {
  readonly load: Load;
  readonly request: Buffer;
  answers = 0;
  chunks = 0;
  errors: Record<string, number> = {};
  stopping = false;
  readonly #connections: Connection[] = [];
  readonly #idle: Connection[] = [];
  /** Due times of requests no connection was free for. */
  readonly #waiting: number[] = [];
  #onDone: (() => void) | null = null;

  constructor(load: Load) {
    this.load = load;
    this.request = chatRequest(load.model, load.port);
    for (let i = 0; i < load.connections; i++) {
      const connection = new Connection(this);
      this.#connections.push(connection);
      setTimeout(() => connection.open(), (i * load.spreadMs) / load.connections);
    }
    if (load.rate !== undefined) this.#pace(load.rate);
  }

  /** A connection has nothing to do: it gets the oldest waiting request, or the next one of its own. */
  free(connection: Connection): void {
    if (this.stopping) {
      connection.close();
      this.#checkDone();
    } else if (this.load.rate === undefined) {
      connection.ask(nowMicros());
    } else {
      const dueAt = this.#waiting.shift();
      if (dueAt === undefined) this.#idle.push(connection);
      else connection.ask(dueAt);
    }
  }

  count(error: string): void {
    this.errors[error] = (this.errors[error] ?? 0) + 1;
  }

  /** Calls back when every connection has its last answer. A held stream never ends: it is left. */
  stop(done: () => void): void {
    this.stopping = true;
    this.#onDone = done;
    this.#waiting.length = 0;
    for (const connection of this.#connections) {
      if (!connection.busy || this.load.model === 'hold') connection.close();
    }
    this.#checkDone();
  }

  #checkDone(): void {
    if (this.#onDone === null || this.#connections.some((connection) => connection.isOpen)) return;
    const done = this.#onDone;
    this.#onDone = null;
    done();
  }

  /**
   * Requests at a fixed rate. Each is timed from when it was due by the timer that sends it, so that waiting for a free
   * connection counts as latency (no coordinated omission) while this process's own timer does not.
   */
  #pace(rate: number): void {
    const startedAt = nowMicros();
    let sent = 0;
    const timer = setInterval(() => {
      if (this.stopping) {
        clearInterval(timer);
        return;
      }
      const now = nowMicros();
      const target = Math.floor(((now - startedAt) / 1e6) * rate);
      for (; sent < target; sent++) {
        const connection = this.#idle.pop();
        if (connection === undefined) this.#waiting.push(now);
        else connection.ask(now);
      }
    }, 1);
  }
}

class Connection implements MessageSink {
  busy = false;
  isOpen = false;
  readonly #run: Run;
  #socket: Socket | null = null;
  #reader = new MessageReader(this);
  readonly #stream: StreamCheck;
  #status = 0;
  #bodyBytes = 0;
  #bodyRight = true;
  #askedAt = 0;
  #arrivedAt = 0;

  constructor(run: Run) {
    this.#run = run;
    this.#stream = new StreamCheck((stamp) => {
      run.chunks++;
      chunkDelay.add((this.#arrivedAt - stamp) / 1000);
    });
  }

  open(): void {
    if (this.#run.stopping) return;
    this.isOpen = true;
    const socket = connect({ host: '127.0.0.1', port: this.#run.load.port, noDelay: true });
    this.#socket = socket;
    this.#reader = new MessageReader(this);
    socket.on('connect', () => this.#run.free(this));
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#broken(error.code ?? 'socket error'));
    socket.on('close', () => this.#broken('closed early'));
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.isOpen = false;
    this.busy = false;
    socket?.destroy();
  }

  ask(dueAt: number): void {
    this.busy = true;
    this.#askedAt = dueAt;
    this.#socket?.write(this.#run.request);
  }

  head(text: string): void {
    this.#status = statusOf(text);
    this.#bodyBytes = 0;
    this.#bodyRight = true;
    this.#stream.reset();
  }

  body(bytes: Buffer, from: number, to: number): void {
    if (this.#run.load.model === 'small') {
      const at = this.#bodyBytes;
      const end = at + to - from;
      this.#bodyRight &&= end <= smallAnswer.length && bytes.compare(smallAnswer, at, end, from, to) === 0;
    } else {
      if (this.#bodyBytes === 0) latency.add((this.#arrivedAt - this.#askedAt) / 1000);
      this.#stream.push(bytes, from, to);
    }
    this.#bodyBytes += to - from;
  }

  end(): void {
    const run = this.#run;
    this.busy = false;
    if (this.#status !== 200) {
      run.count(`status ${this.#status}`);
    } else if (run.load.model === 'small') {
      if (this.#bodyRight && this.#bodyBytes === smallAnswer.length) {
        run.answers++;
        latency.add((this.#arrivedAt - this.#askedAt) / 1000);
      } else {
        run.count('a changed body');
      }
    } else if (this.#stream.complete) {
      run.answers++;
      // The last line carries no time of its own.
      run.chunks++;
    } else {
      run.count(this.#stream.fault ?? 'a truncated stream');
    }
    run.free(this);
  }

  #read(bytes: Buffer): void {
    this.#arrivedAt = nowMicros();
    try {
      this.#reader.push(bytes);
    } catch (error) {
      this.#broken(error instanceof Error ? error.message : String(error));
    }
  }

  /** Counts the error once, and opens the connection again after a pause. */
  #broken(what: string): void {
    if (this.#socket === null) return;
    this.#run.count(what);
    this.close();
    setTimeout(() => {
      if (this.#run.stopping) this.#run.free(this);
      else this.open();
    }, RECONNECT_MS);
  }
}

let run: Run | null = null;

function counts(samples: Pick<Counts, 'latency' | 'chunkDelay'> = { latency: null, chunkDelay: null }): Counts {
  return { answers: run?.answers ?? 0, chunks: run?.chunks ?? 0, errors: run?.errors ?? {}, ...samples };
}

function obey(order: Order): void {
  const reply = (message: Counts): void => {
    process.send?.(message);
  };
  switch (order.do) {
    case 'start':
      run = new Run(order.load);
      return reply(counts());
    case 'mark':
      latency.start();
      chunkDelay.start();
      return reply(counts());
    case 'freeze':
      latency.stop();
      chunkDelay.stop();
      return reply(counts());
    case 'stop':
      return run?.stop(() => reply(counts({ latency: latency.quantiles(), chunkDelay: chunkDelay.quantiles() })));
  }
}

process.on('message', (message) => obey(message as Order));
process.on('disconnect', () => process.exit());
