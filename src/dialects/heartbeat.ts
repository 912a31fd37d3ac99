/**
 * A sign of life in a stream that has nothing to say yet, such that no client takes it for part of the answer: an empty delta in
 * NDJSON, where a blank line would break clients; a comment, or Anthropic's own ping, in SSE.
 */
import type { Reading, Route } from './dialect.ts';
import { goJsonString } from './go-json.ts';

export interface Heartbeat {
  /** What a stream of this route is typed as. */
  readonly contentType: string;
  /** A whole frame. `at` is an RFC 3339 time. */
  frame(at: string): string;
}

/** Null for what is not answered as a stream. */
export function heartbeatOf(route: Route, reading: Reading): Heartbeat | null {
  if (!reading.stream) {
    return null;
  }
  switch (route.dialect) {
    case 'ollama':
      return nativeHeartbeat(route, reading);
    case 'openai':
    case 'responses':
      return { contentType: 'text/event-stream', frame: () => ': waiting\n\n' };
    case 'anthropic':
      return { contentType: 'text/event-stream', frame: () => 'event: ping\ndata: {"type":"ping"}\n\n' };
  }
}

function nativeHeartbeat({ endpoint }: Route, { modelText }: Reading): Heartbeat | null {
  const empty = EMPTY_DELTAS[endpoint];
  if (empty === undefined) {
    return null;
  }
  const model = goJsonString(modelText ?? '');
  return {
    contentType: 'application/x-ndjson',
    frame: (at) => `{"model":${model},"created_at":"${at}",${empty},"done":false}\n`,
  };
}

const EMPTY_DELTAS: Readonly<Record<string, string>> = {
  chat: '"message":{"role":"assistant","content":""}',
  generate: '"response":""',
};
