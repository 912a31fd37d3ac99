/**
 * The signature of the `ollama` command itself, when it runs with `OLLAMA_AUTH` (ollama-wire §6): its public key and what that has
 * signed, the method, the path and the second. It covers no body; what it proves is who asks, on a connection that is trusted
 * to carry the rest.
 */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { Client } from '../core/grants.ts';
import { lastingClient } from '../core/permission.ts';
import { noGrant, type Profiles } from '../core/profiles.ts';
import type { Millis } from '../core/types.ts';

/** Public keys by their blob in base64, as it stands in an authorized-keys file and in a request. */
export type AuthorizedKeys = ReadonlyMap<string, AuthorizedKey>;

export interface AuthorizedKey {
  readonly client: Client;
  readonly key: KeyObject;
}

export type SignatureFault = 'unknown' | 'bad-signature' | 'skewed' | 'replayed';

/** What a request says of itself. `connection` tells connections apart. */
export interface Signed {
  /** The `Authorization` field: `<public key>:<signature>`, both in base64. */
  readonly authorization: string;
  readonly method: string;
  /** Path and query, without a prefix of the gateway's own. */
  readonly target: string;
  readonly connection: object;
}

/** The 19 bytes before the 32 of a key in OpenSSH's form: two lengths and a name. */
const SSH_HEAD = Buffer.from('0000000b7373682d6564323535313900000020', 'hex');
/** The same key in the form node:crypto takes. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');
const SSH_BYTES = SSH_HEAD.length + 32;

/** `AAAA…:…`: no scheme, two texts of a fixed length. */
const FORM = /^(AAAAC3NzaC1lZDI1NTE5[A-Za-z0-9+/]{48}):([A-Za-z0-9+/]{86}==)$/;

export function isSignature(authorization: string): boolean {
  return FORM.test(authorization);
}

export interface AuthorizedKeysFile {
  readonly keys: AuthorizedKeys;
  /** Numbers of lines that could not be read. */
  readonly strange: readonly number[];
}

/** Lines as OpenSSH has them, ed25519 only; an option `profile="…"` before the key names what its holder may do. */
export function parseAuthorizedKeys(text: string, profiles: Profiles, usual: string): AuthorizedKeysFile {
  const keys = new Map<string, AuthorizedKey>();
  const strange: number[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const match = /^\s*(?:profile="([^"]+)"\s+)?ssh-ed25519\s+([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(line);
    const blob = Buffer.from(match?.[2] ?? '', 'base64');
    if (match === null || blob.length !== SSH_BYTES || !blob.subarray(0, SSH_HEAD.length).equals(SSH_HEAD)) {
      strange.push(index + 1);
      continue;
    }
    const grant = profiles.get(match[1] ?? usual) ?? noGrant;
    const key = createPublicKey({
      key: Buffer.concat([SPKI_HEAD, blob.subarray(SSH_HEAD.length)]),
      format: 'der',
      type: 'spki',
    });
    keys.set(blob.toString('base64'), { client: lastingClient(`cli:${fingerprint(blob)}`, grant), key });
  }
  return { keys, strange };
}

/** As `ssh-keygen -lf` prints it, without `SHA256:`. */
function fingerprint(blob: Buffer): string {
  return createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
}

export interface SignatureCheck {
  /** `now` is the wall clock. */
  check(signed: Signed, keys: AuthorizedKeys, now: number): Client | SignatureFault;
}

/** Signatures remembered at most; beyond that new ones are refused, because forgetting one would let it in again. */
const MAX_REMEMBERED = 65_536;

/** `window`: how far the clocks of client and gateway may be apart. */
export function createSignatureCheck(window: Millis): SignatureCheck {
  const memory = new SeenSignatures(window);
  return {
    check({ authorization, connection, method, target }, keys, now) {
      const [, blob = '', signature = ''] = FORM.exec(authorization) ?? [];
      const known = keys.get(blob);
      if (known === undefined) return 'unknown';
      const [, path, seconds] = /^([^?]*)\?ts=(\d{1,12})$/.exec(target) ?? [];
      if (path === undefined) return 'bad-signature';
      const at = Number(seconds) * 1000;
      const text = Buffer.from(`${method},${path}?ts=${seconds}`, 'utf8');
      const bytes = Buffer.from(signature, 'base64');
      if (!verify(null, text, known.key, bytes)) return 'bad-signature';
      // Only now: what is remembered is what somebody with a key has signed.
      if (Math.abs(now - at) > window) return 'skewed';
      // The bytes: in base64 one signature can be written in several ways.
      return memory.isNew(bytes.toString('base64'), connection, now) ? known.client : 'replayed';
    },
  };
}

/**
 * The command signs the second, not the request: two of its requests for one path in one second carry the same signature. It may
 * therefore come again on the connection that brought it first, and on no other.
 */
class SeenSignatures {
  readonly #window: Millis;
  /** In the order in which they may be forgotten. */
  readonly #seen = new Map<string, { readonly connection: WeakRef<object>; readonly until: number }>();

  constructor(window: Millis) {
    this.#window = window;
  }

  isNew(signature: string, connection: object, now: number): boolean {
    const before = this.#seen.get(signature);
    if (before !== undefined && before.until > now) return before.connection.deref() === connection;
    for (const [old, { until }] of this.#seen) {
      if (until > now) break;
      this.#seen.delete(old);
    }
    if (this.#seen.size >= MAX_REMEMBERED) return false;
    // Dated ahead by a window at most, it may be shown until two windows from now.
    this.#seen.set(signature, { connection: new WeakRef(connection), until: now + 2 * this.#window + 1000 });
    return true;
  }
}
