/**
 * One text field of a multipart form, found without copying the files beside it. Forms as clients write them are read as Go
 * reads them. What Go would take and this does not understand (bare newlines, folded or encoded headers) is said to be unclear:
 * there a policy must not trust the value.
 */

const MAX_HEADER_BYTES = 8_192;
const MAX_VALUE_BYTES = 4_096;
const MAX_PARTS = 1_000;
/** What only begins like a delimiter costs a look each time; a file has that by chance, and rarely. */
const MAX_LOOKALIKES = 10_000;

export interface FormField {
  /** The first value of the field; null when there is none. */
  readonly value: string | null;
  readonly count: number;
  readonly isClear: boolean;
}

/** The field `name` of a `multipart/form-data` body. A part with a file name is a file, whatever it is called. */
export function multipartField(bytes: Uint8Array, contentType: string, name: string): FormField {
  const found: { value: string | null; count: number; isClear: boolean } = { value: null, count: 0, isClear: true };
  if (!/^\s*multipart\/form-data\s*(?:;|$)/i.test(contentType)) {
    return found;
  }
  const boundary = BOUNDARY.exec(contentType)
    ?.slice(1)
    .find((text) => text !== undefined);
  if (boundary === undefined) {
    return { ...found, isClear: false };
  }
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let parts = 0;
  for (const part of partsOf(body, boundary)) {
    parts++;
    if (parts > MAX_PARTS) {
      return { ...found, isClear: false };
    }
    const partName = fieldName(part.head);
    found.isClear &&= partName !== 'unclear';
    if (typeof partName === 'object' && partName.name === name) {
      found.value ??= body.toString('utf8', part.start, Math.min(part.end, part.start + MAX_VALUE_BYTES));
      found.count++;
    }
  }
  return found;
}

const BOUNDARY =
  /^[^;]*(?:;\s*(?!boundary)[\w-]+=[^;"]*)*;\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"\\]{1,70}))\s*(?:;|$)/i;

interface Part {
  /** The header lines; null where they cannot be told from the rest. */
  readonly head: string | null;
  readonly start: number;
  readonly end: number;
}

function* partsOf(body: Buffer, boundary: string): Generator<Part> {
  const delimiter = `--${boundary}`;
  const first = firstDelimiter(body, delimiter);
  for (let at = first; at !== null; ) {
    const lineEnd = endOfDelimiter(body, at + delimiter.length);
    if (lineEnd === null) {
      return;
    }
    const end = nextDelimiter(body, `\r\n${delimiter}`, lineEnd - 2);
    if (end === 'lost') {
      yield { head: null, start: body.length, end: body.length };
      return;
    }
    const headEnd = endOfHead(body, lineEnd - 2);
    const hasHead = headEnd !== null && headEnd <= end && body[lineEnd - 2] === 0x0d;
    yield hasHead
      ? { head: body.toString('utf8', lineEnd, headEnd), start: Math.min(headEnd + 4, end), end }
      : { head: null, start: end, end };
    at = end < body.length ? end + 2 : null;
  }
}

/** A delimiter stands at the beginning of a line. */
function firstDelimiter(body: Buffer, delimiter: string): number | null {
  if (body.toString('latin1', 0, delimiter.length) === delimiter) {
    return 0;
  }
  const at = body.indexOf(`\n${delimiter}`, 0, 'latin1');
  return at < 0 ? null : at + 1;
}

/** The blank line after a part's headers. Looked for no further than headers go: whatever follows is gone over once, not per part. */
function endOfHead(body: Buffer, from: number): number | null {
  const at = body.subarray(from, from + MAX_HEADER_BYTES + 4).indexOf('\r\n\r\n');
  return at < 0 ? null : from + at;
}

/** The next delimiter line's newline, or the body's end. What only begins like a delimiter is content; too much of it, and it is lost. */
function nextDelimiter(body: Buffer, prefix: string, from: number): number | 'lost' {
  let at = body.indexOf(prefix, from, 'latin1');
  for (let lookalikes = 0; at >= 0; lookalikes++) {
    if (endsDelimiter(body, at + prefix.length)) {
      return at;
    }
    if (lookalikes === MAX_LOOKALIKES) {
      return 'lost';
    }
    at = body.indexOf(prefix, at + 1, 'latin1');
  }
  return body.length;
}

/** Whether a delimiter may go on so: with a blank, the end of its line, or the two dashes of the last one. */
function endsDelimiter(body: Buffer, at: number): boolean {
  const code = body[at];
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a || (code === 0x2d && body[at + 1] === 0x2d);
}

/** Where the line ends that a delimiter begins; null after the last one, and where it is none. */
function endOfDelimiter(body: Buffer, from: number): number | null {
  const newline = body.indexOf(0x0a, from);
  return newline >= 0 && /^[ \t]*\r?$/.test(body.toString('latin1', from, newline)) ? newline + 1 : null;
}

const PARAMETER = String.raw`;\s*(?:filename\*=[^;"]*|[\w-]+=(?:"[^"\\]*"|[^\s;"\\]+))\s*`;
const DISPOSITION = new RegExp(String.raw`^content-disposition:\s*form-data\s*((?:${PARAMETER})*);?$`, 'i');
const HEADER_LINE = /^[\w-]+:[^\r\n]*$/;

/** The name of a text field; `file`; or `unclear` where Go might read another name. */
function fieldName(head: string | null): { readonly name: string } | 'file' | 'unclear' {
  const lines = head?.split('\r\n') ?? [''];
  const dispositions = lines.filter((line) => /^content-disposition\s*:/i.test(line));
  const parameters = DISPOSITION.exec(dispositions[0] ?? '')?.[1];
  if (!lines.every((line) => HEADER_LINE.test(line)) || dispositions.length !== 1 || parameters === undefined) {
    return 'unclear';
  }
  if (/;\s*filename\*?=/i.test(parameters)) {
    return 'file';
  }
  const name = /;\s*name=(?:"([^"]*)"|([^\s;]+))/i.exec(parameters);
  return name === null ? 'unclear' : { name: name[1] ?? name[2] ?? '' };
}
