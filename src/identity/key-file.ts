/**
 * The file of keys. The command line writes it, whole, by a rename; a running gateway only reads it. What a gateway learns of keys
 * (when each was used) is in a file of its own beside it, so that neither has to wait for the other.
 */
import { open, readFile, rm } from 'node:fs/promises';
import { Type, type Static } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { KEY_ID } from './key-text.ts';

const Moment = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?Z$' });

const KeyRecordSchema = Type.Object(
  {
    id: Type.String({ pattern: KEY_ID.source }),
    profile: Type.String({ minLength: 1 }),
    created: Moment,
    expires: Type.Optional(Moment),
    revoked: Type.Optional(Moment),
    /** Narrows what the profile allows. */
    models: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    /** May say, in a header, on behalf of which user it asks. */
    speaksForUsers: Type.Optional(Type.Boolean()),
    /** The newest first. Two while a key is being rotated; the older one has an end. */
    secrets: Type.Array(
      Type.Object(
        { sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }), expires: Type.Optional(Moment) },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 2 },
    ),
  },
  { additionalProperties: false },
);
export type KeyRecord = Static<typeof KeyRecordSchema>;

const KeyFileSchema = Type.Object(
  { version: Type.Literal(1), keys: Type.Array(KeyRecordSchema) },
  { additionalProperties: false },
);

/** Thrown for a file that is not one of keys; the message says where, and holds nothing of its contents. */
export class KeyFileError extends Error {}

/** The records of a file; none when there is no such file. */
export async function readKeys(path: string): Promise<readonly KeyRecord[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new KeyFileError(`${path} can’t be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  return parseKeys(text, path);
}

export function parseKeys(text: string, path: string): readonly KeyRecord[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new KeyFileError(`${path} is not JSON`);
  }
  if (!Check(KeyFileSchema, content)) {
    const [first] = Errors(KeyFileSchema, content);
    throw new KeyFileError(`${path} is no file of keys: ${first?.instancePath ?? ''} ${first?.message ?? ''}`);
  }
  const ids = new Set(content.keys.map(({ id }) => id));
  if (ids.size < content.keys.length) throw new KeyFileError(`${path} has two keys of one id`);
  return content.keys;
}

/** Reads, changes and writes the records, while no other process does. */
export async function editKeys(
  path: string,
  change: (records: readonly KeyRecord[]) => readonly KeyRecord[],
): Promise<void> {
  const lock = `${path}.lock`;
  const held = await open(lock, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new KeyFileError(
      error.code === 'EEXIST'
        ? `${lock} is there: another command is changing the keys, or one was interrupted; remove it if there is none`
        : `${path} can’t be written: ${error.code}`,
    );
  });
  try {
    const keys = change(await readKeys(path));
    await writeFileAtomically(path, `${JSON.stringify({ version: 1, keys }, null, 1)}\n`);
  } finally {
    await held.close();
    await rm(lock, { force: true });
  }
}

/** When each key was last used, by id, as ISO 8601; what can't be read is not known. */
export async function readUses(path: string): Promise<ReadonlyMap<string, string>> {
  try {
    const uses = JSON.parse(await readFile(usesOf(path), 'utf8')) as Record<string, unknown>;
    return new Map(Object.entries(uses).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return new Map();
  }
}

export function writeUses(path: string, uses: ReadonlyMap<string, string>): Promise<void> {
  return writeFileAtomically(usesOf(path), `${JSON.stringify(Object.fromEntries(uses), null, 1)}\n`);
}

function usesOf(path: string): string {
  return `${path}.used`;
}
