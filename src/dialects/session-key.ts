/** The session a client names of itself, in the order of trust of what is seen in the wild. */
import type { ReadContext } from './dialect.ts';

const SESSION_HEADERS = [
  'x-session-id',
  'x-claude-code-session-id',
  'session-id',
  'session_id',
  'x-session-affinity',
  'x-opencode-session',
  'x-openwebui-chat-id',
] as const;

const MAX_KEY_LENGTH = 512;

/** The session key, hashed; null when neither a header nor `bodyKey` names one. */
export function sessionOf(context: ReadContext, bodyKey: string | null): string | null {
  const key = headerKey(context) ?? bodyKey?.trim().slice(0, MAX_KEY_LENGTH) ?? '';
  return key === '' ? null : context.hash(key);
}

/** The session in Anthropic's `metadata.user_id`: `user_…_session_<id>`, or JSON with a `session_id`; else null. */
export function sessionInUserId(userId: string): string | null {
  const plain = /_session_([\w-]+)$/.exec(userId)?.[1];
  return plain ?? /"session_id"\s*:\s*"([^"\\]+)"/.exec(userId)?.[1] ?? null;
}

function headerKey(context: ReadContext): string | null {
  for (const name of SESSION_HEADERS) {
    const value = context.headers[name];
    const key = (Array.isArray(value) ? value[0] : value)?.trim();
    if (key !== undefined && key !== '') {
      return key.slice(0, MAX_KEY_LENGTH);
    }
  }
  return null;
}
