/**
 * Clients of a chaos run, on raw sockets, so that they can stop in the middle of anything: each sends one request at a time, reads
 * its answer piece by piece, and tells the history how it ended.
 */
import { connect, type Socket } from 'node:net';
import { nowMicros } from '../load/script.ts';
import { MessageReader, statusOf, type MessageSink } from '../load/wire.ts';
import type { Ended, Ending, HistoryEvent } from './history.ts';
import { AnswerReader, readErrorAnswer, requestOf, type Script, type Voice } from './voice.ts';

export interface Wish {
  /** Unique; becomes `X-Request-Id`. */
  readonly id: string;
  readonly voice: Voice;
  readonly stream: boolean;
  readonly script: Script;
  readonly deadlineMs: number;
  /** When the client leaves by its own will; absent: never. */
  readonly leave?: Leave;
  /** On a connection of its own, which is closed afterwards; absent: on one that is open, if there is one. */
  readonly isAlone?: boolean;
}

export interface Leave {
  /** Bytes of the body that are sent before it waits; absent: all. */
  readonly afterBytes?: number;
  /** Pieces of the answer it reads; absent: any number. */
  readonly afterPieces?: number;
  /** After that, or from the start when neither is given. */
  readonly afterMs: number;
}

/** How much longer than its deadline a client waits before it says that its request hangs. */
const PATIENCE_MS = 5_000;

export class Clients {
  readonly #port: number;
  readonly #tell: (event: HistoryEvent) => void;
  readonly #idle: Socket[] = [];
  open = 0;

  constructor(port: number, tell: (event: HistoryEvent) => void) {
    this.#port = port;
    this.#tell = tell;
  }

  /** Sends a request; resolves when it has ended for its client, however that was. */
  async ask(wish: Wish): Promise<Ended> {
    const { id, voice, stream, script, deadlineMs } = wish;
    const at = nowMicros() / 1000;
    this.#tell({ kind: 'sent', at, id, nonce: script.nonce, voice, stream, pieces: script.pieces, deadlineMs });
    this.open += 1;
    const asking = new Asking(wish, at, this.#port);
    const isAlone = wish.isAlone === true;
    const { ended, reusable } = await asking.on((isAlone ? undefined : this.#idle.pop()) ?? this.#connect());
    this.open -= 1;
    if (isAlone) reusable?.destroy();
    else if (reusable !== null) this.#keep(reusable);
    this.#tell(ended);
    return ended;
  }

  close(): void {
    for (const socket of this.#idle) socket.destroy();
    this.#idle.length = 0;
  }

  #connect(): Socket {
    return connect({ host: '127.0.0.1', port: this.#port, noDelay: true });
  }

  #keep(socket: Socket): void {
    const forget = (): void => {
      const place = this.#idle.indexOf(socket);
      if (place !== -1) this.#idle.splice(place, 1);
    };
    socket.once('close', forget);
    socket.once('error', () => {});
    this.#idle.push(socket);
  }
}

interface Finished {
  readonly ended: Ended;
  /** The connection, when another request may be sent on it. */
  readonly reusable: Socket | null;
}

class Asking implements MessageSink {
  readonly #wish: Wish;
  readonly #sentAt: number;
  readonly #port: number;
  #socket: Socket | null = null;
  #resolve: (finished: Finished) => void = () => {};
  #status = 0;
  #head = '';
  #body = '';
  #answer: AnswerReader | null = null;
  #firstAt: number | null = null;
  #leaving: NodeJS.Timeout | null = null;
  readonly #hanging: NodeJS.Timeout;

  constructor(wish: Wish, sentAt: number, port: number) {
    this.#wish = wish;
    this.#sentAt = sentAt;
    this.#port = port;
    this.#hanging = setTimeout(() => this.#finish('hung'), wish.deadlineMs + PATIENCE_MS);
  }

  on(socket: Socket): Promise<Finished> {
    this.#socket = socket;
    socket.removeAllListeners();
    const reader = new MessageReader(this);
    socket.on('data', (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        this.#finish('cut', error instanceof Error ? error.message : String(error));
      }
    });
    socket.on('error', () => this.#closed());
    socket.on('close', () => this.#closed());
    socket.on('end', () => this.#closed());
    this.#send(socket);
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  head(text: string): void {
    const status = statusOf(text);
    if (status < 200) return;
    this.#status = status;
    this.#head = text.toLowerCase();
    if (status === 200) this.#answer = new AnswerReader(this.#wish.voice, this.#wish.stream);
  }

  body(bytes: Buffer, from: number, to: number): void {
    const text = bytes.toString('latin1', from, to);
    if (this.#answer === null) {
      this.#body += text;
      return;
    }
    this.#answer.push(text);
    if (this.#firstAt === null && this.#answer.runs.length > 0) this.#firstAt = nowMicros() / 1000;
    const { leave } = this.#wish;
    if (leave?.afterPieces === undefined || this.#leaving !== null) return;
    const read = this.#answer.runs.reduce((sum, run) => sum + run.to - run.from + 1, 0);
    if (read >= leave.afterPieces) this.#leaveIn(leave.afterMs);
  }

  end(): void {
    if (this.#status === 0) return;
    if (this.#answer === null) return this.#finish('error');
    this.#answer.end();
    const { markers, errorFrames } = this.#answer;
    this.#finish(errorFrames > 0 ? 'error-frame' : markers > 0 ? 'complete' : 'cut');
  }

  #send(socket: Socket): void {
    const { id, leave, script, stream, voice } = this.#wish;
    const { path, body } = requestOf(voice, stream, script);
    const head =
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\nContent-Type: application/json\r\n` +
      `X-Request-Id: ${id}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    socket.write(leave?.afterBytes === undefined ? head + body : head + body.slice(0, leave.afterBytes));
    if (leave !== undefined && leave.afterPieces === undefined) this.#leaveIn(leave.afterMs);
  }

  #leaveIn(ms: number): void {
    this.#leaving = setTimeout(() => this.#finish('left'), ms);
  }

  #closed(): void {
    if (this.#status === 0) return this.#finish('unanswered');
    if (this.#answer === null) return this.#finish('cut');
    this.#answer.end();
    this.#finish(this.#answer.errorFrames > 0 ? 'error-frame' : 'cut');
  }

  #finish(ending: Ending, fault = ''): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    clearTimeout(this.#hanging);
    if (this.#leaving !== null) clearTimeout(this.#leaving);
    const at = nowMicros() / 1000;
    const answer = this.#answer;
    const errorText = ending === 'error' ? readErrorAnswer(this.#wish.voice, this.#body) : (answer?.errorText ?? '');
    const ended: Ended = {
      kind: 'ended',
      at,
      sentAt: this.#sentAt,
      id: this.#wish.id,
      ending,
      status: this.#status,
      firstAt: this.#firstAt,
      runs: answer?.runs ?? [],
      markers: answer?.markers ?? 0,
      errorFrames: answer?.errorFrames ?? 0,
      fault: fault || (answer?.fault ?? '') || (errorText === null ? 'an error answer in another dialect' : ''),
      retryAfter: /\r\nretry-after: ([^\r\n]*)/.exec(this.#head)?.[1] ?? null,
      text: (errorText ?? this.#body).slice(0, 120),
    };
    const isReusable =
      (ending === 'complete' || ending === 'error') &&
      !this.#head.includes('\r\nconnection: close') &&
      !socket.destroyed;
    socket.removeAllListeners();
    socket.on('error', () => {});
    if (!isReusable) socket.destroy();
    this.#resolve({ ended, reusable: isReusable ? socket : null });
  }
}
