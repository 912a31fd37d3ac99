/** The keys in memory: which one a text is, in a time that does not depend on how many there are. Pure but for the digest. */
import { timingSafeEqual } from 'node:crypto';
import type { Client, Grant } from '../core/grants.ts';
import { lastingClient, narrowModels } from '../core/permission.ts';
import { noGrant, type Profiles } from '../core/profiles.ts';
import type { KeyRecord } from './key-file.ts';
import { digestOf, keyIdOf } from './key-text.ts';

/** A key that somebody may hold. */
export interface KnownKey {
  readonly client: Client;
  readonly speaksForUsers: boolean;
  /** Epoch milliseconds; 0 when it has not been used since this process started. */
  usedAt: number;
}

export type KeyFault = 'unknown' | 'expired' | 'revoked';

export interface KeyRing {
  /** `now` is the wall clock. Notes the use. */
  find(text: string, now: number): KnownKey | KeyFault;
  readonly size: number;
  /** Those used since this process started: id → when. */
  uses(): ReadonlyMap<string, number>;
}

interface Entry extends KnownKey {
  readonly secrets: readonly { readonly digest: Buffer; readonly until: number }[];
  readonly until: number;
  readonly isRevoked: boolean;
}

/** Compared with when there is no such id, so that both cases take the same steps. */
const nobody: Entry['secrets'] = [{ digest: Buffer.alloc(64), until: Infinity }];

export function createKeyRing(records: readonly KeyRecord[], profiles: Profiles, before?: KeyRing): KeyRing {
  const used = before?.uses() ?? new Map<string, number>();
  const entries = new Map<string, Entry>();
  for (const record of records) entries.set(record.id, entryOf(record, profiles, used.get(record.id) ?? 0));
  return {
    size: entries.size,
    find(text, now) {
      const id = keyIdOf(text);
      if (id === null) return 'unknown';
      const entry = entries.get(id);
      const digest = Buffer.from(digestOf(text), 'latin1');
      let until = 0;
      for (const secret of entry?.secrets ?? nobody) {
        if (timingSafeEqual(secret.digest, digest)) ({ until } = secret);
      }
      if (entry === undefined || until === 0) return 'unknown';
      if (entry.isRevoked) return 'revoked';
      if (now >= until || now >= entry.until) return 'expired';
      entry.usedAt = now;
      return entry;
    },
    uses: () => new Map([...entries].flatMap(([id, { usedAt }]) => (usedAt === 0 ? [] : [[id, usedAt] as const]))),
  };
}

function entryOf(record: KeyRecord, profiles: Profiles, usedAt: number): Entry {
  return {
    client: lastingClient(`key:${record.id}`, grantOf(record, profiles)),
    speaksForUsers: record.speaksForUsers === true,
    usedAt,
    until: end(record.expires),
    isRevoked: record.revoked !== undefined,
    secrets: record.secrets.map(({ sha256, expires }) => ({
      digest: Buffer.from(sha256, 'latin1'),
      until: end(expires),
    })),
  };
}

/** A profile that is gone from the configuration gives nothing. */
function grantOf({ models, profile }: KeyRecord, profiles: Profiles): Grant {
  const grant = profiles.get(profile);
  if (grant === undefined) return noGrant;
  return models === undefined ? grant : { ...grant, models: narrowModels(grant.models, models) };
}

function end(moment: string | undefined): number {
  return moment === undefined ? Infinity : Date.parse(moment);
}
