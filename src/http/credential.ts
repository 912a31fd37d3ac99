/** What a request carries to say whose it is, and where: the five ways that clients of Ollama and of the other APIs have. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A request whose path began with `/k/<key>`; the path it has now does not. */
interface KeyedRequest extends IncomingMessage {
  pathKey?: string;
}

const PATH_KEY = /^\/+k\/+([^/?#]*)/;

/**
 * The target without a `/k/<key>` in front, which is kept beside the request: nothing that sees the path sees the key. For clients
 * that can be told an address and nothing else.
 */
export function withoutPathKey(request: IncomingMessage): string {
  const target = request.url ?? '/';
  // Almost never: one look at one character.
  if (target.charCodeAt(1) !== 0x6b && target.charCodeAt(1) !== 0x2f) return target;
  const match = PATH_KEY.exec(target);
  if (match === null) return target;
  (request as KeyedRequest).pathKey = match[1]!;
  const rest = target.slice(match[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

export function pathKeyOf(request: IncomingMessage): string | null {
  return (request as KeyedRequest).pathKey ?? null;
}

/** The secret of an `Authorization` field: a bearer's, or the password of Basic. Null when it has another form. */
export function authorizationSecret(authorization: string): string | null {
  const space = authorization.indexOf(' ');
  const scheme = authorization.slice(0, space).toLowerCase();
  const rest = authorization.slice(space + 1).trim();
  if (scheme === 'bearer') return rest;
  if (scheme !== 'basic') return null;
  const pair = Buffer.from(rest, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  return colon === -1 ? null : pair.slice(colon + 1);
}

export function apiKeyOf(headers: IncomingHttpHeaders): string | null {
  const value = headers['x-api-key'];
  return typeof value === 'string' && value !== '' ? value : null;
}
