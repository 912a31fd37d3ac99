/** How each family of answers says that it is complete, that it failed, and what it cost. */
import type { Usage } from '../core/types.ts';
import type { MeterReport } from './dialect.ts';
import type { Remains } from './meter.ts';

type Ending = Pick<MeterReport, 'ending' | 'errorText'>;

export interface Family {
  /** What ends a frame; '' when there are none. */
  readonly frameEnd: '' | '\n' | '\n\n';
  /** Whether a frame stands for about one token, so that frames can be counted when the answer tells nothing. */
  readonly countsOutput: boolean;
  ending(remains: Remains): Ending;
  usage(remains: Remains): Usage;
  /** About how many frames of content `newlines` make. */
  framesOf(newlines: number, ending: MeterReport['ending']): number;
  events?(remains: Remains): NonNullable<MeterReport['events']>;
}

const COMPLETE: Ending = { ending: 'complete', errorText: null };
const MISSING: Ending = { ending: 'missing', errorText: null };

type Json = Readonly<Record<string, unknown>>;

/** `"done":true` on the last line, or an error there. */
const ndjson: Family = {
  frameEnd: '\n',
  countsOutput: true,
  ending(remains) {
    const line = lastLineJson(remains);
    if (line === null) {
      return longNativeError(remains) ?? (metricsAtEnd(remains.tail) === null ? MISSING : COMPLETE);
    }
    return nativeError(line) ?? (line.done === true ? COMPLETE : MISSING);
  },
  usage: (remains) => nativeUsage(lastLineJson(remains) ?? metricsAtEnd(remains.tail)),
  framesOf: (newlines, ending) => Math.max(0, newlines - (ending === 'missing' ? 0 : 1)),
};

/** `"status":"success"` on the last line of a pull, push or create, or an error there. */
const progress: Family = {
  frameEnd: '\n',
  countsOutput: false,
  ending(remains) {
    const line = lastLineJson(remains);
    if (line === null) {
      return longNativeError(remains) ?? MISSING;
    }
    return nativeError(line) ?? (line.status === 'success' ? COMPLETE : MISSING);
  },
  usage: () => ({}),
  framesOf: () => 0,
};

/** `data: [DONE]` last. Ollama that lost its runner ends without it, cleanly. */
const openai: Family = {
  frameEnd: '\n\n',
  countsOutput: true,
  ending(remains) {
    const line = remains.lineHead.trimEnd();
    if (/^data:\s*\[DONE\]$/.test(line)) {
      return COMPLETE;
    }
    const isError = /^data:\s*\{\s*"error"\s*:/.test(line) && /\}\s*$/.test(remains.tail);
    return isError ? compatibleError(lastLineJson(remains), line) : MISSING;
  },
  usage: (remains) => statedUsage(remains.tail),
  framesOf: (newlines, ending) => Math.max(0, Math.floor(newlines / 2) - (ending === 'complete' ? 2 : 0)),
};

/** `message_stop` last. */
const anthropic: Family = {
  frameEnd: '\n\n',
  countsOutput: true,
  ending: (remains) => typedEnding(remains, /^message_stop$/, /^error$/),
  /** Only `message_delta` states what was used; `message_start` guesses. */
  usage: (remains) => (/"type"\s*:\s*"message_delta"/.test(remains.tail) ? statedUsage(remains.tail) : {}),
  framesOf: (newlines, ending) => Math.max(0, Math.floor(newlines / 3) - (ending === 'complete' ? 5 : 2)),
};

/** `response.completed` or `response.incomplete` last; `response.failed` is an error. */
const responses: Family = {
  frameEnd: '\n\n',
  countsOutput: true,
  ending: (remains) => typedEnding(remains, /^response\.(?:completed|incomplete)$/, /^(?:response\.failed|error)$/),
  usage: (remains) => statedUsage(remains.tail),
  framesOf: (newlines, ending) => Math.max(0, Math.floor(newlines / 3) - (ending === 'complete' ? 8 : 4)),
  events: ({ head, tail }) => ({
    responseId: /"id"\s*:\s*"(resp_\w+)"/.exec(head)?.[1] ?? null,
    lastSequence: lastNumber(tail, /"sequence_number"\s*:\s*(\d+)/g),
  }),
};

/** One JSON value, whatever was asked for: whole when it is closed. */
const json: Family = {
  frameEnd: '',
  countsOutput: false,
  ending(remains) {
    if (!/[}\]]\s*$/.test(remains.tail)) {
      return MISSING;
    }
    if (/^\s*\{\s*"error"\s*:/.test(remains.head) || /^\s*\{\s*"type"\s*:\s*"error"/.test(remains.head)) {
      return compatibleError(remains.isWhole ? parsed(remains.tail) : null, remains.head);
    }
    return COMPLETE;
  },
  usage(remains) {
    const whole = remains.isWhole ? parsed(remains.tail) : null;
    const native = nativeUsage(whole ?? metricsAtEnd(remains.tail));
    return Object.keys(native).length > 0 ? native : statedUsage(remains.tail);
  },
  framesOf: () => 0,
};

/** Text or bytes of which nothing is known: complete when it has ended. */
const opaque: Family = {
  frameEnd: '',
  countsOutput: false,
  ending: () => COMPLETE,
  usage: () => ({}),
  framesOf: () => 0,
};

export const families = { ndjson, progress, openai, anthropic, responses, json, opaque } as const;

/** The last line that is not blank as JSON, when the window holds it whole. An SSE line is taken without its `data:`. */
function lastLineJson(remains: Remains): Json | null {
  const text = remains.tail.trimEnd();
  return isLong(remains) ? null : parsed(text.slice(text.lastIndexOf('\n') + 1).replace(/^data:/, ''));
}

/** Whether the last line that is not blank is longer than the window. */
function isLong({ tail, isWhole }: Remains): boolean {
  return !isWhole && !tail.trimEnd().includes('\n');
}

function parsed(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Json) : null;
  } catch {
    return null;
  }
}

function nativeError(line: Json): Ending | null {
  return line.error === undefined ? null : { ending: 'error', errorText: errorText(line.error) };
}

/** For a line too long for the window: an error is told by its first member, and closed at its end. */
function longNativeError(remains: Remains): Ending | null {
  const isError = isLong(remains) && /^\s*\{\s*"error"\s*:/.test(remains.lineHead) && /\}\s*$/.test(remains.tail);
  return isError ? { ending: 'error', errorText: remains.lineHead } : null;
}

function compatibleError(value: Json | null, head: string): Ending {
  return { ending: 'error', errorText: value === null ? head : errorText(value.error) };
}

function errorText(error: unknown): string {
  if (typeof error === 'string') {
    return error;
  }
  const message = typeof error === 'object' && error !== null ? (error as Json).message : undefined;
  return typeof message === 'string' ? message : JSON.stringify(error ?? null);
}

/** The ending of a stream whose last event has a `type`; looked for in both ends of a line too long for the window. */
function typedEnding(remains: Remains, complete: RegExp, failed: RegExp): Ending {
  const line = lastLineJson(remains);
  const type = line === null ? typeIn(remains) : line.type;
  if (typeof type !== 'string' || !remains.lineHead.startsWith('data:')) {
    return MISSING;
  }
  if (failed.test(type)) {
    const failure = line?.error ?? (line?.response as Json | undefined)?.error ?? line;
    return { ending: 'error', errorText: failure === null ? remains.lineHead : errorText(failure) };
  }
  return complete.test(type) ? COMPLETE : MISSING;
}

function typeIn(remains: Remains): string | undefined {
  if (!isLong(remains) || !/\}\s*$/.test(remains.tail)) {
    return undefined;
  }
  const first = /^data:\s*\{\s*"type"\s*:\s*"([\w.]+)"/.exec(remains.lineHead);
  return (first ?? /"type"\s*:\s*"([\w.]+)"\s*\}\s*$/.exec(remains.tail))?.[1];
}

/** The figures at the very end of a native answer, behind whatever came before. */
function metricsAtEnd(tail: string): Json | null {
  const match = /"total_duration"\s*:\s*\d+(?:\s*,\s*"\w+"\s*:\s*\d+)*\s*\}\s*$/.exec(tail);
  return match === null ? null : parsed(`{${match[0]}`);
}

function nativeUsage(line: Json | null): Usage {
  if (line === null) {
    return {};
  }
  return defined({
    promptTokens: numberOf(line.prompt_eval_count),
    outputTokens: numberOf(line.eval_count),
    loadMs: milliseconds(line.load_duration),
    promptMs: milliseconds(line.prompt_eval_duration),
    outputMs: milliseconds(line.eval_duration),
    totalMs: milliseconds(line.total_duration),
  });
}

/** The last `usage` object of an OpenAI or Anthropic answer. */
function statedUsage(tail: string): Usage {
  const at = [...tail.matchAll(/"usage"\s*:\s*\{/g)].at(-1);
  if (at === undefined) {
    return {};
  }
  const open = at.index + at[0].length - 1;
  const usage = parsed(tail.slice(open, objectEnd(tail, open)));
  const promptTokens = numberOf(usage?.prompt_tokens ?? usage?.input_tokens);
  const outputTokens = numberOf(usage?.completion_tokens ?? usage?.output_tokens);
  return promptTokens === 0 && outputTokens === 0 ? {} : defined({ promptTokens, outputTokens });
}

function objectEnd(text: string, open: number): number {
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === '{') {
      depth++;
    } else if (text[i] === '}' && --depth === 0) {
      return i + 1;
    }
  }
  return text.length;
}

function lastNumber(text: string, pattern: RegExp): number | null {
  const digits = [...text.matchAll(pattern)].at(-1)?.[1];
  return digits === undefined ? null : Number(digits);
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function milliseconds(value: unknown): number | undefined {
  return typeof value === 'number' ? value / 1e6 : undefined;
}

function defined(usage: { readonly [Key in keyof Usage]: Usage[Key] | undefined }): Usage {
  const known: { -readonly [Key in keyof Usage]: Usage[Key] } = {};
  for (const name in usage) {
    const value = usage[name as keyof Usage];
    if (value !== undefined) known[name as keyof Usage] = value;
  }
  return known;
}
