/**
 * What passes in each direction: allow-lists, so that a field nobody thought of stays here. Hop-by-hop fields, fields that
 * `Connection` nominates, `Origin`, cookies and the client's credential are therefore never forwarded.
 */
import type { IncomingMessage } from 'node:http';
import type { Lease } from '../core/scheduler.ts';
import { parseTraceparent } from '../core/trace-context.ts';
import type { Account } from './account.ts';

/** Lower-case name → the spelling sent upstream. */
const upstream: ReadonlyMap<string, string> = new Map([
  ['accept', 'Accept'],
  ['content-type', 'Content-Type'],
  ['content-encoding', 'Content-Encoding'],
  ['user-agent', 'User-Agent'],
  ['anthropic-version', 'anthropic-version'],
  ['anthropic-beta', 'anthropic-beta'],
  ['openai-beta', 'OpenAI-Beta'],
  ['traceparent', 'traceparent'],
  ['tracestate', 'tracestate'],
  ['via', 'Via'],
]);

const downstream: ReadonlyMap<string, string> = new Map([
  ['content-type', 'Content-Type'],
  ['date', 'Date'],
  ['cache-control', 'Cache-Control'],
  ['retry-after', 'Retry-After'],
  ['location', 'Location'],
  ['allow', 'Allow'],
]);

type Fields = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Flat name, value list for the backend. A field that `Connection` names is hop-by-hop and stays here; but not `Via`, in which
 * we stand ourselves. `traceparent` takes the place of the caller's, which is passed on when there is none, unless it is
 * malformed: then neither it nor `tracestate` is.
 */
export function requestHeaders(fields: Fields, requestId: string, traceparent: string | null = null): string[] {
  const nominated = nominees(fields['connection']);
  const out: string[] = [];
  for (const name in fields) {
    const spelling = upstream.get(name);
    if (spelling === undefined || (nominated?.has(name) === true && name !== 'via')) continue;
    const value = fields[name];
    if (typeof value === 'string' && mayPass(name, fields, traceparent)) out.push(spelling, value);
  }
  if (traceparent !== null) out.push('traceparent', traceparent);
  out.push('X-Request-Id', requestId);
  return out;
}

function mayPass(name: string, fields: Fields, traceparent: string | null): boolean {
  if (name === 'traceparent') return traceparent === null && traceIdOf(fields[name]) !== null;
  return name !== 'tracestate' || traceIdOf(fields['traceparent']) !== null;
}

/** Flat name, value list for the client. */
export function responseHeaders(fields: Fields): string[] {
  const nominated = nominees(fields['connection']);
  const out: string[] = [];
  for (const name in fields) {
    const spelling = downstream.get(name);
    if (spelling === undefined || nominated?.has(name) === true) continue;
    const value = fields[name];
    if (typeof value === 'string') out.push(spelling, value);
    else if (value !== undefined) for (const one of value) out.push(spelling, one);
  }
  return out;
}

/** What the gateway adds to an answer that came from a backend. */
export function ownHeaders(account: Account, { backend, reason }: Pick<Lease, 'backend' | 'reason'>): string[] {
  return [
    'X-Request-Id',
    account.requestId,
    'X-Llamero-Backend',
    backend,
    'X-Llamero-Route',
    reason,
    'X-Llamero-Attempts',
    String(account.attempts),
    ...account.quotaHeaders,
  ];
}

function nominees(connection: string | string[] | undefined): Set<string> | null {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return null;
  return new Set(
    String(connection)
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  );
}

/** A rest of a body that is read and dropped rather than closing the connection for it; Go's limit, and so Ollama's. */
const DROPPED_BYTES = 256 * 1024;

/** Whether more of a request's body may be on its way than is worth reading, so that the connection can't carry another request. */
export function hasUnreadBody(request: IncomingMessage): boolean {
  if (request.complete) return false;
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || Number(length ?? 0) > DROPPED_BYTES;
}

/** What a flat list of header fields asks for in `Retry-After`, seconds or a date; null when it asks for nothing readable. */
export function retryAfterMs(fields: readonly string[], wallNow: number): number | null {
  const at = fields.indexOf('Retry-After');
  const value = at === -1 ? '' : fields[at + 1]!.trim();
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - wallNow);
}

/** The caller's request id when it is sane (1–128 visible ASCII characters), else null. */
export function saneRequestId(value: string | string[] | undefined): string | null {
  return typeof value === 'string' && /^[\x21-\x7e]{1,128}$/.test(value) ? value : null;
}

/** The trace id of a well-formed `traceparent`, else null. */
export function traceIdOf(value: string | string[] | undefined): string | null {
  return parseTraceparent(value)?.traceId ?? null;
}
