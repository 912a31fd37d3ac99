/**
 * Takes back out of an OpenAI stream the usage that only the gateway asked for (`includeUsage` in rewrite.ts), so that the client
 * gets the bytes it would have got without: one chunk with no choices before `[DONE]`, and on /v1/completions a zero usage in
 * every chunk. The meter sees the stream before.
 */

/** An event longer than this is let through as it comes; Ollama's are a few hundred bytes. */
const MAX_HELD_BYTES = 256 * 1_024;

export interface UsageStripper {
  /** The bytes to send on; an event that is not complete is held back until it is. */
  push(chunk: Uint8Array): Buffer;
  /** What was held back when the stream ended. */
  flush(): Buffer;
}

export function createUsageStripper(): UsageStripper {
  let held = Buffer.alloc(0);
  let isLettingThrough = false;
  return {
    push(chunk) {
      const bytes = held.length === 0 ? viewOf(chunk) : Buffer.concat([held, chunk]);
      const end = lastEventEnd(bytes);
      const out: Buffer[] = [];
      let from = 0;
      if (isLettingThrough && end > 0) {
        from = firstEventEnd(bytes);
        out.push(bytes.subarray(0, from));
        isLettingThrough = false;
      }
      if (end > from) {
        out.push(...strippedEvents(bytes.subarray(from, end)));
        from = end;
      }
      held = Buffer.from(bytes.subarray(from));
      if (isLettingThrough || held.length > MAX_HELD_BYTES) {
        out.push(letThrough());
      }
      return out.length === 1 ? out[0]! : Buffer.concat(out);
    },
    flush() {
      const rest = held;
      held = Buffer.alloc(0);
      return rest;
    },
  };

  /** All but the last byte, which may be the first of the two newlines that end the event. */
  function letThrough(): Buffer {
    isLettingThrough = true;
    const gone = held.subarray(0, -1);
    held = Buffer.from(held.subarray(-1));
    return gone;
  }
}

function viewOf(chunk: Uint8Array): Buffer {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

function firstEventEnd(bytes: Buffer): number {
  const at = bytes.indexOf('\n\n');
  return at < 0 ? 0 : at + 2;
}

function lastEventEnd(bytes: Buffer): number {
  const at = bytes.lastIndexOf('\n\n');
  return at < 0 ? 0 : at + 2;
}

/** The events without usage; one buffer, the given one, when none of them has any. */
function strippedEvents(events: Buffer): Buffer[] {
  if (!events.includes('"usage":')) {
    return [events];
  }
  const kept: Buffer[] = [];
  for (let from = 0; from < events.length; ) {
    const end = events.indexOf('\n\n', from) + 2;
    kept.push(...strippedEvent(events.subarray(from, end)));
    from = end;
  }
  return kept;
}

function strippedEvent(event: Buffer): Buffer[] {
  const text = event.toString('latin1');
  const chunk = text.includes('"usage":') ? chunkOf(text) : null;
  if (chunk === null || chunk.usage === undefined) {
    return [event];
  }
  if (chunk.usage !== null && Array.isArray(chunk.choices) && chunk.choices.length === 0) {
    return [];
  }
  return [Buffer.from(text.replace(LAST_MEMBER, ''), 'latin1')];
}

/** The usage as a chunk's last member, an object or null; its own details may be objects too. */
const LAST_MEMBER = /,"usage":(?:null|\{(?:[^{}]|\{[^{}]*\})*\})(?=\}\s*$)/;

function chunkOf(event: string): { readonly usage?: unknown; readonly choices?: unknown } | null {
  const data = /^data:(.*)$/m.exec(event)?.[1];
  try {
    return data === undefined ? null : JSON.parse(data);
  } catch {
    return null;
  }
}
