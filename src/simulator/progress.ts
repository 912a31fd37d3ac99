/** Answers that tell how a long operation gets on: a stream of statuses, or only the last one (ollama-wire §1.4). */
import { goJson } from './json.ts';
import { jsonPlain, ndjson } from './voice.ts';
import type { Exchange } from './wire.ts';

export interface Status {
  readonly status: string;
  readonly digest?: string | undefined;
  readonly total?: number | undefined;
  /** Left out while nothing is done. */
  readonly completed?: number | undefined;
}

export interface Progress {
  tell(status: Status): void;
  /** Ends it with an error: a line once something was told, else an answer with this status. */
  fail(text: string, status?: number): void;
  /** Ends it well. */
  succeed(): void;
}

export function createProgress(exchange: Exchange, stream: boolean): Progress {
  const error = (text: string): string => goJson({ error: text });

  function tell(status: Status): void {
    if (!stream) return;
    if (!exchange.committed) exchange.start(200, ndjson);
    exchange.chunk(`${goJson({ ...status, completed: status.completed || undefined })}\n`);
  }

  return {
    tell,
    fail(text, status = 500) {
      if (!exchange.committed) {
        return exchange.send(status, { headers: jsonPlain, body: error(text), flushed: stream });
      }
      exchange.chunk(`${error(text)}\n`);
      exchange.end();
    },
    succeed() {
      const success = { status: 'success' };
      if (!stream) return exchange.send(200, { headers: jsonPlain, body: goJson(success) });
      tell(success);
      exchange.end();
    },
  };
}
