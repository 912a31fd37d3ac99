/** W3C Trace Context: who is above us in a trace, in the words of the `traceparent` field. */

/** A well-formed `traceparent`. */
export interface TraceParent {
  /** 32 hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** The caller's span, 16 hexadecimal digits, not all zero. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly isSampled: boolean;
}

/** The place of one span in its trace. */
export interface SpanPlace {
  readonly traceId: string;
  readonly spanId: string;
  /** Null for the first span of a trace. */
  readonly parentId: string | null;
}

const FIELD = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Null for what is not well-formed. Versions to come may say more after the flags; version 00 may not. */
export function parseTraceparent(value: string | readonly string[] | undefined): TraceParent | null {
  if (typeof value !== 'string') return null;
  const [, version, traceId = '', spanId = '', flags = '', more] = FIELD.exec(value) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

/** The field that names a recorded span as the parent of what follows. */
export function formatTraceparent({ traceId, spanId }: Pick<SpanPlace, 'traceId' | 'spanId'>): string {
  return `00-${traceId}-${spanId}-01`;
}
