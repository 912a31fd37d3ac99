/**
 * What a key looks like: `llm_<id>_<secret>`. The id says whose it is and is no secret; the secret is 190 bits of luck, and its last
 * six characters are a checksum of the rest, so that a scanner can tell a key from a text that only looks like one.
 */
import { hash, randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const KEY_PREFIX = 'llm';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const SECRET_LENGTH = 32;
const CHECKSUM_LENGTH = 6;

/** What an id may be: safe in a log, in a path and between two underscores. */
export const KEY_ID = /^[a-z0-9][a-z0-9-]{0,31}$/;

/** Anything longer is no key, and is not hashed. */
const MAX_LENGTH = 128;

export function makeKey(id: string): string {
  const secret = Array.from({ length: SECRET_LENGTH }, () => alphabet[randomInt(alphabet.length)]).join('');
  const text = `${KEY_PREFIX}_${id}_${secret}`;
  return text + checksum(text);
}

/** Whether the text is a key somebody made: of the right form, with the right checksum. */
export function isKeyText(text: string): boolean {
  if (!/^llm_[a-z0-9][a-z0-9-]{0,31}_[0-9A-Za-z]{38}$/.test(text)) return false;
  return checksum(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

/** The id in something of a key's form, else null. The checksum is not looked at: the digest is what counts. */
export function keyIdOf(text: string): string | null {
  if (text.length > MAX_LENGTH) return null;
  const end = text.lastIndexOf('_');
  const start = text.lastIndexOf('_', end - 1);
  return start > 0 ? text.slice(start + 1, end) : null;
}

/** SHA-256 of the whole key, 64 hex digits. A key is no password: nobody can try all of 190 bits, however fast the hash. */
export function digestOf(key: string): string {
  return hash('sha256', key, 'hex');
}

function checksum(text: string): string {
  let rest = crc32(text);
  let digits = '';
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    digits = alphabet[rest % alphabet.length]! + digits;
    rest = Math.floor(rest / alphabet.length);
  }
  return digits;
}
