/** How a backend wants to be spoken to, in the words of Node: its credential as fields, its TLS as options of a socket. */
import { readFileSync } from 'node:fs';
import type { OnReadOpts, Socket } from 'node:net';
import type { BackendAuth, BackendTls } from '../core/backend.ts';

/** Flat name, value list. */
export function credential(auth: BackendAuth | undefined): string[] {
  if (auth === undefined) return [];
  return auth.header === undefined ? ['Authorization', `Bearer ${auth.token}`] : [auth.header, auth.token];
}

/** Throws when a file can't be read. */
export function tlsOptions(tls: BackendTls | undefined): Record<string, unknown> {
  if (tls === undefined) return {};
  const options: Record<string, unknown> = { rejectUnauthorized: !tls.insecureSkipVerify };
  for (const part of ['ca', 'cert', 'key'] as const) {
    const file = tls[part];
    if (file !== undefined) options[part] = readFileSync(file);
  }
  if (tls.servername !== undefined) options['servername'] = tls.servername;
  return options;
}

const readBytes = 8 * 1024;

/**
 * All connections read into one buffer, out of which each copies what it got. By itself Node makes a buffer of 64 KiB for every
 * read, however little comes, and a client that stalls keeps two of them at its backend's connection.
 */
const shared: OnReadOpts = {
  buffer: Buffer.allocUnsafeSlow(readBytes),
  callback(this: Socket, length, bytes) {
    return this.push(Buffer.from(bytes.subarray(0, length)));
  },
};

/** How much is read of an answer that nobody takes. TLS decrypts into buffers of its own, of at most 16 KiB. */
export function readAhead({ protocol }: URL): { readonly highWaterMark: number; readonly onread?: OnReadOpts } {
  return { highWaterMark: readBytes, ...(protocol === 'http:' ? { onread: shared } : {}) };
}
