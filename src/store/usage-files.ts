/** Keeps the usage ledger over a restart: a file a day, replaced as a whole, in a directory of its own. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { Event } from '../core/events.ts';
import { createLedger, type UsageRow } from '../core/ledger.ts';
import { Duration } from '../core/options.ts';
import { spentBy } from '../core/spent.ts';
import type { Clock, Timer } from '../core/types.ts';
import { messageOf, readSmallFile, writeFileAtomically } from './atomic-file.ts';

export const UsageOptions = Type.Object(
  {
    directory: Type.Optional(
      Type.String({
        description:
          'Where to keep who used how many tokens of which model, a file a day. Without it, the sums begin anew with each start. ' +
          'Two gateways need a directory each.',
        minLength: 1,
      }),
    ),
    interval: Duration({ description: 'How often they are written; also at the end.', default: '1m', minimum: '1s' }),
    days: Type.Integer({ description: 'Days that are kept.', minimum: 1, maximum: 3660, default: 90 }),
  },
  { additionalProperties: false, description: 'The account of who uses what (`llamero usage`).' },
);
export type UsageOptions = Static<typeof UsageOptions>;

const Row = Type.Object({
  day: Type.String(),
  client: Type.String(),
  model: Type.String(),
  requests: Type.Number(),
  aborted: Type.Number(),
  promptTokens: Type.Number(),
  outputTokens: Type.Number(),
});

export interface UsageFilesDependencies {
  readonly clock: Clock;
  readonly wallNow: () => number;
  readonly log: { say(level: 'warn', message: string, fields: Readonly<Record<string, string>>): void };
}

export interface UsageFiles {
  /** Takes up what the files hold. Whatever is wrong with one is said and no more; it is left as it is until its day is written. */
  load(): Promise<void>;
  /** Of that day (UTC, `2026-11-25`) and later. */
  rows(since?: string): readonly UsageRow[];
  /** Counts a request that is over, if a backend was asked. */
  observe(event: Event): void;
  save(): Promise<void>;
  /** Saves once more. */
  close(): Promise<void>;
}

/** More than a day's rows can take. */
const LIMIT_BYTES = 64 * 1024 * 1024;

const DAY_MS = 86_400_000;

const fileOfDay = /^usage-(\d{4}-\d\d-\d\d)\.jsonl$/;

/** The day of epoch milliseconds, as `2026-01-31`; put into words once a day. */
function createDayNames(): (ms: number) => string {
  let today = { number: Number.NaN, name: '' };
  return (ms) => {
    const number = Math.floor(ms / DAY_MS);
    if (number !== today.number) today = { number, name: new Date(ms).toISOString().slice(0, 10) };
    return today.name;
  };
}

export function createUsageFiles(dependencies: UsageFilesDependencies, options: UsageOptions): UsageFiles {
  const { clock, log, wallNow } = dependencies;
  const ledger = createLedger();
  const { days, directory, interval } = options;
  let timer: Timer | null = null;
  // One thing asked of the disk at a time, in order.
  let last: Promise<void> = Promise.resolve();
  /** Days whose file could not be read: writing them would lose what it holds. */
  const kept = new Set<string>();

  const inTurn = (act: () => Promise<void>): Promise<void> => (last = last.then(act));
  const dayOf = createDayNames();

  async function readDay(folder: string, day: string): Promise<void> {
    const file = join(folder, nameOf(day));
    try {
      const text = (await readSmallFile(file, LIMIT_BYTES)) ?? '';
      const rows = text.split('\n').filter((line) => line !== '');
      ledger.restore(rows.map((line) => rowOf(line, day)));
    } catch (error) {
      kept.add(day);
      log.say('warn', 'usage could not be read', { file, reason: messageOf(error) });
    }
  }

  async function writeDay(folder: string, day: string): Promise<void> {
    if (kept.has(day)) return;
    const file = join(folder, nameOf(day));
    const lines = ledger.ofDay(day).map((row) => `${JSON.stringify(row)}\n`);
    try {
      await writeFileAtomically(file, lines.join(''));
    } catch (error) {
      log.say('warn', 'usage could not be written', { file, reason: messageOf(error) });
    }
  }

  const save = (): Promise<void> =>
    inTurn(async () => {
      const old = ledger.forgetBefore(dayOf(wallNow() - (days - 1) * DAY_MS));
      const changed = ledger.takeChanged().filter((day) => !old.includes(day));
      if (directory === undefined) return;
      for (const day of changed) await writeDay(directory, day);
      for (const day of old) await rm(join(directory, nameOf(day)), { force: true });
    });

  function arm(): void {
    timer = clock.after(interval, () => {
      arm();
      void save();
    });
  }

  return {
    load: () =>
      inTurn(async () => {
        arm();
        if (directory === undefined) return;
        for (const name of await namesIn(directory)) {
          const day = fileOfDay.exec(name)?.[1];
          if (day !== undefined) await readDay(directory, day);
        }
      }),
    observe(event) {
      if (event.kind !== 'request-finished' || event.backend === null || event.model === null) return;
      const isAborted = event.outcome === 'client-gone' || event.outcome === 'client-stalled';
      const { client, model } = event;
      ledger.record({ day: dayOf(wallNow()), client, model, isAborted, ...spentBy(event) });
    },
    rows: (since) => ledger.rows(since),
    save,
    async close() {
      timer?.cancel();
      await save();
    },
  };
}

function nameOf(day: string): string {
  return `usage-${day}.jsonl`;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Throws when the line is no row of that day. */
function rowOf(line: string, day: string): UsageRow {
  const row: unknown = JSON.parse(line);
  if (!Check(Row, row) || row.day !== day) throw new Error('it holds something else, and is left as it is');
  return row;
}
