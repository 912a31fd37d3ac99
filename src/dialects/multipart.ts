/** One text field of a multipart form, found without copying the files beside it. */

const MAX_HEADER_BYTES = 8_192;
const MAX_VALUE_BYTES = 4_096;

/**
 * The first value of the field `name` in a `multipart/form-data` body, null when there is none, and how many there are. A part
 * with a file name is a file, whatever it is called.
 */
export function multipartField(
  bytes: Uint8Array,
  contentType: string,
  name: string,
): { readonly value: string | null; readonly count: number } {
  const boundary = boundaryOf(contentType);
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let value: string | null = null;
  let count = 0;
  if (boundary !== null) {
    for (const part of partsOf(body, boundary)) {
      if (fieldName(part.head) === name) {
        value ??= body.toString('utf8', part.start, Math.min(part.end, part.start + MAX_VALUE_BYTES));
        count++;
      }
    }
  }
  return { value, count };
}

function boundaryOf(contentType: string): string | null {
  if (!/^\s*multipart\/form-data\s*;/i.test(contentType)) {
    return null;
  }
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2] ?? null;
}

function* partsOf(
  body: Buffer,
  boundary: string,
): Generator<{ readonly head: string; readonly start: number; readonly end: number }> {
  const delimiter = Buffer.from(`--${boundary}`, 'latin1');
  let at = body.indexOf(delimiter);
  while (at >= 0) {
    const lineEnd = body.indexOf('\r\n', at + delimiter.length);
    const next = lineEnd < 0 ? -1 : body.indexOf(`\r\n--${boundary}`, lineEnd, 'latin1');
    const headEnd = lineEnd < 0 ? -1 : body.indexOf('\r\n\r\n', lineEnd);
    if (headEnd < 0 || headEnd - lineEnd > MAX_HEADER_BYTES) {
      return;
    }
    const end = next < 0 ? body.length : next;
    if (headEnd + 4 <= end + 2) {
      yield { head: body.toString('utf8', lineEnd, headEnd), start: Math.min(headEnd + 4, end), end };
    }
    at = next < 0 ? -1 : next + 2;
  }
}

/** The `name` of a part that is no file. */
function fieldName(head: string): string | null {
  const disposition = /^content-disposition:\s*form-data\s*;(.*)$/im.exec(head)?.[1];
  if (disposition === undefined || /;?\s*filename\*?=/i.test(disposition)) {
    return null;
  }
  const match = /(?:^|;)\s*name=(?:"([^"]*)"|([^\s;"]+))/i.exec(disposition);
  return match?.[1] ?? match?.[2] ?? null;
}
