/** `llamero keys create|list|rotate|revoke`: the keys of clients, in the file that the configuration names. */
import { userInfo } from 'node:os';
import type { Config } from '../config/schema.ts';
import { parseDuration } from '../config/units.ts';
import { createProfiles } from '../core/profiles.ts';
import { editKeys, KeyFileError, readKeys, readUses, type KeyRecord } from '../identity/key-file.ts';
import { digestOf, KEY_ID, makeKey } from '../identity/key-text.ts';
import { appendAudit } from '../store/audit-file.ts';
import type { FlagDefinitions } from './flags.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

const own = {
  profile: { value: 'NAME', help: 'what the key may do; `plain` when left out' },
  models: { value: 'LIST', help: 'only these of the profile’s models, with commas between; `*` stands for any text' },
  expires: { value: 'TIME', help: 'when it ends: in so long (`90d`), or a date (`2027-01-31`)' },
  users: { help: 'it may say in a header for which user it asks; for a front such as Open WebUI' },
  grace: { value: 'TIME', help: 'rotate: how long the old secret still works; `1d` when left out' },
} as const satisfies FlagDefinitions;

const usage = `usage: llamero keys create ID [--profile NAME] [--models LIST] [--expires TIME] [--users]
       llamero keys rotate ID [--grace TIME]
       llamero keys revoke ID
       llamero keys list
The file is \`clients.keys\` of the configuration (--config FILE), or LLAMERO_CLIENTS_KEYS.
`;

type Flags = ReadonlyMap<string, readonly string[]>;

interface Task {
  readonly io: Io;
  readonly config: Config;
  /** The file of keys. */
  readonly path: string;
  readonly id: string;
  readonly flags: Flags;
  /** Epoch milliseconds. */
  readonly now: number;
}

/** Something the person at the keyboard has to change; the message is a sentence for them. */
class Refusal extends Error {}

const actions: Readonly<Record<string, (task: Task) => Promise<void>>> = { create, list, rotate, revoke };

/** Exit codes: 0 done, 1 it can't be done, 2 not understood. */
export async function keysCommand(argv: readonly string[], io: Io): Promise<number> {
  const [action = '', ...rest] = argv;
  const id = rest[0]?.startsWith('-') === false ? rest[0] : '';
  if (!Object.hasOwn(actions, action) || (id === '') !== (action === 'list')) {
    io.stderr.write(usage);
    return 2;
  }
  const read = await readConfig(id === '' ? rest : rest.slice(1), io, own);
  if (typeof read === 'number') return read;
  const { config } = read.loaded;
  const path = config.clients.keys;
  try {
    if (path === undefined)
      throw new Refusal('no file of keys is configured: set `clients.keys`, or LLAMERO_CLIENTS_KEYS');
    await actions[action]!({ io, config, path, id, flags: read.flags, now: Date.now() });
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof KeyFileError)) throw error;
    io.stderr.write(`llamero: ${error.message}\n`);
    return 1;
  }
}

async function create(task: Task): Promise<void> {
  const { config, flags, id, now, path } = task;
  if (!KEY_ID.test(id))
    throw new Refusal(`\`${id}\` can’t be an id: lower-case letters, digits and \`-\`, at most 32 of them`);
  const profiles = createProfiles(config.profiles);
  const profile = flags.get('profile')?.[0] ?? 'plain';
  if (!profiles.has(profile))
    throw new Refusal(`there is no profile \`${profile}\`; there are ${[...profiles.keys()].join(', ')}`);
  const key = makeKey(id);
  const models = flags
    .get('models')?.[0]
    ?.split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const expires = flags.get('expires')?.[0];
  const record: KeyRecord = {
    id,
    profile,
    created: moment(now),
    ...(models !== undefined && { models }),
    ...(expires !== undefined && { expires: moment(timeOf(expires, now)) }),
    ...(flags.has('users') && { speaksForUsers: true }),
    secrets: [{ sha256: digestOf(key) }],
  };
  await editKeys(path, (records) => {
    if (records.some((other) => other.id === id)) throw new Refusal(`there is a key \`${id}\` already`);
    return [...records, record];
  });
  await note(task, 'key created', `profile ${profile}`);
  show(task.io, key);
}

async function rotate(task: Task): Promise<void> {
  const { flags, id, now, path } = task;
  const grace = flags.get('grace')?.[0] ?? '1d';
  const until = moment(timeOf(grace, now));
  const key = makeKey(id);
  await editKeys(path, (records) =>
    changed(records, id, (record) => {
      if (record.revoked !== undefined) throw new Refusal(`\`${id}\` is revoked; create another`);
      const { sha256 } = record.secrets[0]!;
      return { ...record, secrets: [{ sha256: digestOf(key) }, { sha256, expires: until }] };
    }),
  );
  await note(task, 'key rotated', `the old secret works until ${until}`);
  show(task.io, key);
  task.io.stderr.write(`The one before it works until ${until}.\n`);
}

async function revoke(task: Task): Promise<void> {
  const { id, io, now, path } = task;
  await editKeys(path, (records) =>
    changed(records, id, (record) => ({ ...record, revoked: record.revoked ?? moment(now) })),
  );
  await note(task, 'key revoked', '');
  io.stdout.write(`${id} is revoked; a running gateway refuses it within a second\n`);
}

async function list({ io, now, path }: Task): Promise<void> {
  const [records, uses] = [await readKeys(path), await readUses(path)];
  const rows = records.map((record) => [
    record.id,
    record.profile,
    stateOf(record, now),
    day(record.created),
    record.expires === undefined ? 'never' : day(record.expires),
    uses.get(record.id)?.slice(0, 16).replace('T', ' ') ?? '-',
    record.models?.join(',') ?? '',
  ]);
  const all = [['ID', 'PROFILE', 'STATE', 'CREATED', 'EXPIRES', 'LAST USED', 'MODELS'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  io.stdout.write(`${lines.join('\n')}\n`);
}

function changed(records: readonly KeyRecord[], id: string, change: (record: KeyRecord) => KeyRecord): KeyRecord[] {
  if (!records.some((record) => record.id === id)) throw new Refusal(`there is no key \`${id}\``);
  return records.map((record) => (record.id === id ? change(record) : record));
}

function stateOf({ expires, revoked, secrets }: KeyRecord, now: number): string {
  if (revoked !== undefined) return 'revoked';
  if (expires !== undefined && Date.parse(expires) <= now) return 'expired';
  const older = secrets[1]?.expires;
  return older !== undefined && Date.parse(older) > now ? 'rotating' : 'valid';
}

/** A length of time from now, or a date, as epoch milliseconds. */
function timeOf(text: string, now: number): number {
  const ms = parseDuration(text);
  const at = ms === null ? (/^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN) : now + ms;
  if (Number.isNaN(at))
    throw new Refusal(`\`${text}\` is neither a length of time, such as \`90d\`, nor a date, such as \`2027-01-31\``);
  return at;
}

function moment(at: number): string {
  return new Date(at).toISOString();
}

function day(text: string): string {
  return text.slice(0, 10);
}

/** The key alone on standard output, so that it can be piped to where it belongs. */
function show(io: Io, key: string): void {
  io.stdout.write(`${key}\n`);
  io.stderr.write('This is shown once; only its digest is kept.\n');
}

async function note({ config, id, now }: Task, what: string, detail: string): Promise<void> {
  const { audit } = config.log;
  if (audit === undefined) return;
  const who = `command:${userInfo().username}`;
  await appendAudit(audit, {
    time: moment(now),
    who,
    what,
    target: id,
    outcome: 'ok',
    ...(detail !== '' && { detail }),
  });
}
