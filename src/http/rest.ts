/** The rest of a stream, from the backend that goes on with it: turned line by line into what its client was being told. */
import type { Call, Receiver } from '../backends/client.ts';
import type { BackendFailure } from '../backends/failure.ts';
import type { Usage } from '../core/types.ts';
import { createLineSplitter } from '../dialects/frames.ts';
import type { ResumeVoice } from '../dialects/resume/voice.ts';
import type { Exchange } from './exchange.ts';

export type RestResult =
  /** The client has the last frame; only the end of the answer is missing. */
  | { readonly kind: 'complete'; readonly usage: Usage }
  | { readonly kind: 'lost'; readonly code: BackendFailure['code'] | 'backend-truncated'; readonly message: string }
  /** It answered something else than the rest. */
  | { readonly kind: 'refused'; readonly what: string }
  /** The client left, or the gateway stops. */
  | { readonly kind: 'given-up' };

export interface RestContext {
  readonly exchange: Exchange;
  readonly voice: ResumeVoice;
  /** Called with the first bytes that go on. */
  readonly firstByte: () => void;
}

const MAX_LINE_BYTES = 1024 * 1024;

export class Rest implements Receiver {
  /** Whether the client has been told anything of it. */
  hasSpoken = false;
  readonly #context: RestContext;
  readonly #lines = createLineSplitter(MAX_LINE_BYTES);
  readonly #result: Promise<RestResult>;
  #settle: (result: RestResult) => void = () => {};
  #isOver = false;
  #status = 0;

  constructor(context: RestContext) {
    this.#context = context;
    this.#result = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Follows the call to its end. `hasRoom`: whether the client keeps up at the moment. */
  async follow(call: Call, hasRoom: boolean, signal: AbortSignal): Promise<RestResult> {
    const { exchange } = this.#context;
    const giveUp = (): void => this.#end({ kind: 'given-up' });
    exchange.onRoom = (room) => {
      if (room) call.resume();
      else call.pause();
    };
    if (!hasRoom) call.pause();
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
    const result = await this.#result;
    signal.removeEventListener('abort', giveUp);
    exchange.onRoom = null;
    if (result.kind !== 'lost') call.abort();
    return result;
  }

  head(status: number): void {
    this.#status = status;
  }

  data(chunk: Buffer): void {
    if (this.#isOver) return;
    if (this.#status !== 200) {
      this.#end({ kind: 'refused', what: `it answered ${this.#status}` });
      return;
    }
    for (const { bytes, truncated } of this.#lines.push(chunk)) {
      if (this.#isOver) return;
      if (truncated) this.#end({ kind: 'refused', what: 'a line is too long' });
      else this.#line(bytes.toString('utf8'));
    }
  }

  end(): void {
    this.#end(
      this.#status === 200
        ? { kind: 'lost', code: 'backend-truncated', message: 'ended its answer before it was complete' }
        : { kind: 'refused', what: `it answered ${this.#status}` },
    );
  }

  failed({ code, message }: BackendFailure): void {
    this.#end({ kind: 'lost', code, message });
  }

  #line(line: string): void {
    const frame = this.#context.voice.frame(line);
    if (frame === null) {
      this.#end({ kind: 'refused', what: 'it said something else' });
      return;
    }
    if (!this.hasSpoken) this.#context.firstByte();
    this.hasSpoken = true;
    this.#context.exchange.write(Buffer.from(frame.text, 'utf8'));
    if (frame.usage !== null) this.#end({ kind: 'complete', usage: frame.usage });
  }

  #end(result: RestResult): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settle(result);
  }
}
