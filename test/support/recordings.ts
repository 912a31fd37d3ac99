/** Recordings of a real Ollama: reading them, sending their requests again, and comparing what comes back. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const directory = new URL('../fixtures/recordings/', import.meta.url);

export type Pairs = readonly (readonly [name: string, value: string])[];

export interface Recording {
  readonly name: string;
  /** What ran below the recorded Ollama. */
  readonly engine: 'real llama-server' | 'scripted llama-server';
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Pairs;
    readonly body: string | { readonly latin1: string };
  };
  readonly response: {
    readonly status_line: string;
    readonly headers: Pairs;
    readonly framing: 'chunked' | 'content-length' | 'none';
    readonly ended: string;
    readonly chunks: readonly { readonly data: string }[];
  };
}

/** An answer as it stood on the wire. */
export interface WireAnswer {
  readonly statusLine: string;
  readonly headers: Pairs;
  readonly framing: 'chunked' | 'content-length' | 'none';
  /** `cut`: the connection ended before the body did. */
  readonly ended: 'chunked' | 'content-length' | 'no-body' | 'cut';
  /** One for each chunk of a chunked body; a body with a length is one. */
  readonly chunks: readonly string[];
}

/** In the order in which they were recorded. */
export function loadRecordings(): Recording[] {
  const index = readFileSync(new URL('INDEX.md', directory), 'utf8');
  const names = [...index.matchAll(/^\| ([\w.-]+) \| [A-Z]+ \//gm)].map(([, name]) => name!);
  return names.map((name) => JSON.parse(readFileSync(new URL(`${name}.json`, directory), 'utf8')) as Recording);
}

/** The bytes of the recorded request, head and body; `replace` may put another text in place of a recorded one. */
export function requestBytes(
  { request }: Recording,
  replace: (text: string) => string | Buffer = (text) => text,
): Buffer {
  const given = typeof request.body === 'string' ? replace(request.body) : Buffer.from(request.body.latin1, 'latin1');
  const body = Buffer.from(given);
  const fields = request.headers.map(([name, value]) => {
    return `${name}: ${name === 'Content-Length' ? body.length : value}\r\n`;
  });
  const path = replace(request.path).toString();
  return Buffer.concat([Buffer.from(`${request.method} ${path} HTTP/1.1\r\n${fields.join('')}\r\n`), body]);
}

/** Sends a request over a connection of its own and reads one answer. */
export async function sendBytes(port: number, bytes: Buffer, method: string): Promise<WireAnswer> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  socket.write(bytes);
  let received = Buffer.alloc(0);
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk as Buffer]);
    const answer = parse(received, method, false);
    if (answer !== null) {
      socket.destroy();
      return answer;
    }
  }
  const answer = parse(received, method, true);
  if (answer === null) throw new Error('the connection ended before a head');
  return answer;
}

/** Null while the answer is not whole; with `isLast`, whatever there is. */
function parse(received: Buffer, method: string, isLast: boolean): WireAnswer | null {
  const end = received.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [statusLine = '', ...lines] = received.toString('latin1', 0, end).split('\r\n');
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  const rest = received.subarray(end + 4);
  const value = (name: string) => headers.find(([key]) => key === name)?.[1];
  const length = value('Content-Length');
  const head = { statusLine, headers };
  if (method === 'HEAD' || statusLine.includes(' 204 '))
    return { ...head, framing: 'none', ended: 'no-body', chunks: [] };
  if (value('Transfer-Encoding') === 'chunked') {
    const { chunks, ended } = parseChunks(rest);
    if (!ended && !isLast) return null;
    return { ...head, framing: 'chunked', ended: ended ? 'chunked' : 'cut', chunks };
  }
  const bytes = Number(length ?? 0);
  if (rest.length < bytes && !isLast) return null;
  const framing = bytes === 0 ? 'none' : 'content-length';
  const chunks = bytes === 0 ? [] : [rest.toString('utf8', 0, bytes)];
  return { ...head, framing, ended: rest.length < bytes ? 'cut' : 'content-length', chunks };
}

function parseChunks(bytes: Buffer): { readonly chunks: string[]; readonly ended: boolean } {
  const chunks: string[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return { chunks, ended: false };
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    if (bytes.length < line + 4 + size) return { chunks, ended: false };
    if (size === 0) return { chunks, ended: true };
    chunks.push(bytes.toString('utf8', line + 2, line + 2 + size));
    at = line + 4 + size;
  }
}

export interface Difference {
  /** Where: `status`, `header Vary`, `chunk 3 .message.content`. */
  readonly at: string;
  readonly recorded: unknown;
  readonly answered: unknown;
}

/** Everything in which an answer differs from the recorded one. */
export function differences({ response }: Recording, answer: WireAnswer): Difference[] {
  const found: Difference[] = [];
  const compare = (at: string, recorded: unknown, answered: unknown): void => {
    if (JSON.stringify(recorded) !== JSON.stringify(answered)) found.push({ at, recorded, answered });
  };
  compare('status', response.status_line, answer.statusLine);
  compare(
    'header names',
    response.headers.map(([name]) => name),
    answer.headers.map(([name]) => name),
  );
  for (const [place, [name, value]] of response.headers.entries()) {
    if (answer.headers[place]?.[0] === name) compare(`header ${name}`, value, answer.headers[place]?.[1]);
  }
  compare('framing', response.framing, answer.framing);
  compare('ended', response.ended, answer.ended);
  compare('number of chunks', response.chunks.length, answer.chunks.length);
  for (const [place, { data }] of response.chunks.entries()) {
    const answered = answer.chunks[place];
    if (answered !== undefined) found.push(...bodyDifferences(`chunk ${place}`, data, answered));
  }
  return found;
}

/** Frames are compared one by one: their text around JSON byte for byte, JSON by keys in order, types and values. */
function bodyDifferences(at: string, recorded: string, answered: string): Difference[] {
  const [a, b] = [frames(recorded), frames(answered)];
  if (a.length !== b.length) return [{ at: `${at} frames`, recorded, answered }];
  return a.flatMap((frame, place) => {
    const other = b[place]!;
    const here = a.length === 1 ? at : `${at} frame ${place}`;
    if (frame.around !== other.around) return [{ at: `${here} text`, recorded: frame.around, answered: other.around }];
    if (frame.json === undefined || other.json === undefined) return [];
    return valueDifferences(here, frame.json, other.json);
  });
}

interface Frame {
  /** What stands before and after the JSON. */
  readonly around: string;
  readonly json: unknown;
}

function frames(body: string): Frame[] {
  const pieces = body.match(/(?:event: [^\n]*\n)?data: [^\n]*\n\n|[^\n]+\n?/gu) ?? [];
  return pieces.map((piece) => {
    const start = piece.search(/[{[]/u);
    const end = Math.max(piece.lastIndexOf('}'), piece.lastIndexOf(']'));
    if (start < 0 || piece.startsWith('data: [DONE]')) return { around: piece, json: undefined };
    try {
      const json = JSON.parse(piece.slice(start, end + 1)) as unknown;
      return { around: `${piece.slice(0, start)}…${piece.slice(end + 1)}`, json };
    } catch {
      return { around: piece, json: undefined };
    }
  });
}

function valueDifferences(at: string, recorded: unknown, answered: unknown): Difference[] {
  if (Array.isArray(recorded) && Array.isArray(answered)) {
    if (recorded.length !== answered.length) {
      return [{ at: `${at} length`, recorded: recorded.length, answered: answered.length }];
    }
    return recorded.flatMap((each, place) => valueDifferences(`${at}[${place}]`, each, answered[place]));
  }
  if (isObject(recorded) && isObject(answered)) {
    const [keys, others] = [Object.keys(recorded), Object.keys(answered)];
    if (keys.join() !== others.join()) return [{ at: `${at} keys`, recorded: keys.join(), answered: others.join() }];
    return keys.flatMap((key) => valueDifferences(`${at} .${key}`, recorded[key], answered[key]));
  }
  if (typeof recorded !== typeof answered || (recorded === null) !== (answered === null)) {
    return [{ at: `${at} type`, recorded, answered }];
  }
  return recorded === answered ? [] : [{ at, recorded, answered }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
