/**
 * What is wrong with the head of a request although Node has taken it. Node reads leniently in places where RFC 9112 is strict,
 * and what two readers can understand differently is how a request is smuggled past one of them: it is refused, and its
 * connection closed.
 */

/** The head as it came; `rawHeaders` is a flat list of names and values. */
export interface RequestHead {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface HeadFault {
  readonly status: 400 | 421 | 431 | 501 | 505 | 508;
  /** One sentence for whoever sent it; it holds nothing of what was sent. */
  readonly reason: string;
}

export interface HeadRules {
  /** Header fields a request may have. */
  readonly maxFields: number;
  /** This gateway's name in `Via`, which no other has: who sees its own is in a loop. */
  readonly pseudonym: string;
}

/** Null when nothing is wrong. */
export function headFault(head: RequestHead, { maxFields, pseudonym }: HeadRules): HeadFault | null {
  const { httpVersion, rawHeaders } = head;
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return fault(505, 'only HTTP/1.1 and HTTP/1.0 are spoken here');
  if (rawHeaders.length > 2 * maxFields) return fault(431, 'the request has too many header fields');
  return hostFault(head) ?? codingFault(head) ?? targetFault(head) ?? loopFault(head, pseudonym);
}

/** Scheme and authority of a target in absolute form, which only a client that takes us for its proxy sends. */
const ABSOLUTE = /^https?:\/\/([^/?#]*)/i;

/** The target without scheme and authority, which has been found to be ours; a path and a query. */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const rest = target.replace(ABSOLUTE, '');
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function fault(status: HeadFault['status'], reason: string): HeadFault {
  return { status, reason };
}

const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d{0,5})?$/;

/** Node drops a second `Host` and takes the first for the only one. */
function hostFault({ headers, rawHeaders }: RequestHead): HeadFault | null {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts > 1) return fault(400, 'the request has more than one Host field');
  const { host } = headers;
  return typeof host === 'string' && !HOST.test(host) ? fault(400, 'the Host field is not a host') : null;
}

/** Node takes any coding whose list ends in `chunked`, decodes that one and leaves the others in the body. */
function codingFault({ headers, httpVersion }: RequestHead): HeadFault | null {
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return null;
  if (httpVersion === '1.0') return fault(400, 'HTTP/1.0 knows no Transfer-Encoding');
  return String(coding).toLowerCase() === 'chunked' ? null : fault(501, 'no transfer coding but chunked is known here');
}

function targetFault({ headers, method, url = '' }: RequestHead): HeadFault | null {
  if (url.includes('#')) return fault(400, 'a request target has no fragment');
  if (url.startsWith('/')) return null;
  if (url === '*') return method === 'OPTIONS' ? null : fault(400, 'the target * is for OPTIONS');
  const authority = ABSOLUTE.exec(url)?.[1];
  if (authority === undefined) return fault(400, 'the request target is not a path');
  const isOurs = authority !== '' && authority.toLowerCase() === String(headers['host'] ?? '').toLowerCase();
  return isOurs ? null : fault(421, 'this is a gateway and no proxy for other hosts');
}

function loopFault({ headers }: RequestHead, pseudonym: string): HeadFault | null {
  const { via } = headers;
  if (via === undefined || !String(via).includes(pseudonym)) return null;
  return fault(508, 'this gateway has sent the request on before: one of its backends leads back to it');
}
