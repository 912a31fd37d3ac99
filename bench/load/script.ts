/**
 * What is said on the wire during a benchmark: the requests, the answers, and how to check them. The mock backend speaks
 * the answers and the generator compares what arrives with them, so both take them from here.
 */
import { performance } from 'node:perf_hooks';
import { chunk } from './wire.ts';

/** The models the mock backend has; the name in a request's body says which answer is wanted. */
export const models = {
  /** One small JSON answer, at once. */
  small: 'bench:small',
  /** `CHUNKS_PER_STREAM` lines, `CHUNK_INTERVAL_MS` apart, the first at once. */
  stream: 'bench:stream',
  /** One line at once, then one a second until the client leaves. */
  hold: 'bench:hold',
} as const;

export type ModelKey = keyof typeof models;

export const CHUNKS_PER_STREAM = 100;
export const CHUNK_INTERVAL_MS = 10;

export const smallAnswer = Buffer.from(
  `{"model":"${models.small}","created_at":"2026-01-01T00:00:00.000000Z","message":{"role":"assistant","content":"Hello."},` +
    `"done":true,"done_reason":"stop","total_duration":1000000,"prompt_eval_count":10,"eval_count":3}`,
);

/** Digits of the time stamp in a streamed line: microseconds of the machine's monotonic clock. */
const STAMP_DIGITS = 15;
const linePrefix = Buffer.from(`{"model":"${models.stream}","message":{"role":"assistant","content":"`);
const lineSuffix = Buffer.from(`"},"done":false}\n`);
/** Bytes of one streamed line but the last, newline included. */
export const LINE_BYTES = linePrefix.length + STAMP_DIGITS + lineSuffix.length;

export const lastLine = Buffer.from(
  `{"model":"${models.stream}","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",` +
    `"total_duration":1000000,"prompt_eval_count":10,"eval_count":${CHUNKS_PER_STREAM - 1}}\n`,
);

/** Microseconds of the monotonic clock all processes of the machine share. */
export const nowMicros: () => number = (() => {
  const origin = originMicros();
  return () => Math.round(origin + performance.now() * 1000);
})();

/**
 * The shared clock at the zero of this process's own. A process that is put aside between looking at one and at the other would
 * be late ever after, so that of many looks the quickest counts.
 */
function originMicros(): number {
  let origin = 0;
  let quickest = Infinity;
  for (let look = 0; look < 100; look++) {
    const before = performance.now();
    const shared = Number(process.hrtime.bigint()) / 1000;
    const took = performance.now() - before;
    if (took >= quickest) continue;
    quickest = took;
    origin = shared - (before + took / 2) * 1000;
  }
  return origin;
}

/** One streamed line that carries the time of its sending. */
export function stampedLine(micros: number): Buffer {
  return Buffer.concat([linePrefix, Buffer.from(String(micros).padStart(STAMP_DIGITS, '0')), lineSuffix]);
}

/** The stamp of the line at `from`, in microseconds; -1 when the bytes there are not a whole line of ours. */
export function readStamp(bytes: Buffer, from: number): number {
  const stampAt = from + linePrefix.length;
  const suffixAt = stampAt + STAMP_DIGITS;
  const end = suffixAt + lineSuffix.length;
  if (end > bytes.length) return -1;
  if (bytes.compare(linePrefix, 0, linePrefix.length, from, stampAt) !== 0) return -1;
  if (bytes.compare(lineSuffix, 0, lineSuffix.length, suffixAt, end) !== 0) return -1;
  let micros = 0;
  for (let at = stampAt; at < suffixAt; at++) {
    const digit = bytes[at]! - 48;
    if (digit < 0 || digit > 9) return -1;
    micros = micros * 10 + digit;
  }
  return micros;
}

/** A whole request as bytes, ready to be written again and again. */
export function chatRequest(key: ModelKey, port: number): Buffer {
  const stream = key === 'small' ? '"stream":false,' : '';
  const body = `{"model":"${models[key]}",${stream}"messages":[{"role":"user","content":"hello"}]}`;
  return Buffer.from(
    `POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const date = 'Date: Thu, 01 Jan 2026 00:00:00 GMT';

/** A whole JSON response as bytes. */
export function jsonResponse(body: Buffer | string, status = '200 OK'): Buffer {
  const length = Buffer.byteLength(body);
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\n${date}\r\nContent-Length: ${length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body)]);
}

export const streamHead = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n${date}\r\nTransfer-Encoding: chunked\r\n\r\n`,
);

/** A streamed line, framed as one chunk. */
export function lineChunk(micros: number): Buffer {
  return Buffer.from(chunk(stampedLine(micros).toString('latin1')));
}

/** The last line and the end of the body, in one piece. */
export const lastChunk = Buffer.from(`${chunk(lastLine.toString('latin1'))}0\r\n\r\n`);
