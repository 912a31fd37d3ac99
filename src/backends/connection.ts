/** How a backend wants to be spoken to, in the words of Node: its credential as fields, its TLS as options of a socket. */
import { readFileSync } from 'node:fs';
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
