/** Who has used how much of which model on which day. Sums in memory; where they are kept is not its business. */
import type { ClientId, ModelName } from './types.ts';

export interface UsageRow {
  /** UTC, `2026-11-25`. */
  readonly day: string;
  readonly client: ClientId;
  readonly model: ModelName;
  /** That reached a backend. */
  readonly requests: number;
  /** Of them, those whose client left, or was cut, before the answer had ended. */
  readonly aborted: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

export type Used = Omit<UsageRow, 'requests' | 'aborted'> & { readonly isAborted: boolean };

export interface Ledger {
  record(used: Used): void;
  /** Adds what was counted before. */
  restore(rows: Iterable<UsageRow>): void;
  /** Of that day and later; by day, then client, then model. */
  rows(since?: string): readonly UsageRow[];
  ofDay(day: string): readonly UsageRow[];
  /** Days that have changed since they were last asked for. */
  takeChanged(): readonly string[];
  /** Forgets days before this one; returns them. */
  forgetBefore(day: string): readonly string[];
}

/** Rows a day may have; what comes beyond them is counted under one name. */
const ROWS_A_DAY = 20_000;

/** The client under which those are counted for whom there is no room. */
export const otherClients: ClientId = '(others)';

type Sums = { -readonly [K in keyof UsageRow]: UsageRow[K] };

export function createLedger(): Ledger {
  const days = new Map<string, Map<string, Sums>>();
  let changed = new Set<string>();

  function sumsOf(day: string, client: ClientId, model: ModelName): Sums {
    let rows = days.get(day);
    if (rows === undefined) {
      rows = new Map();
      days.set(day, rows);
    }
    const key = `${model}\t${client}`;
    const found = rows.get(key);
    if (found !== undefined) return found;
    if (rows.size >= ROWS_A_DAY && client !== otherClients) return sumsOf(day, otherClients, model);
    const sums: Sums = { day, client, model, requests: 0, aborted: 0, promptTokens: 0, outputTokens: 0 };
    rows.set(key, sums);
    return sums;
  }

  function add(row: UsageRow): void {
    const sums = sumsOf(row.day, row.client, row.model);
    sums.requests += row.requests;
    sums.aborted += row.aborted;
    sums.promptTokens += row.promptTokens;
    sums.outputTokens += row.outputTokens;
  }

  function ofDay(day: string): UsageRow[] {
    const rows = [...(days.get(day)?.values() ?? [])].map((row) => ({ ...row }));
    return rows.sort((a, b) => compare(a.client, b.client) || compare(a.model, b.model));
  }

  return {
    record({ isAborted, ...used }) {
      changed.add(used.day);
      add({ ...used, requests: 1, aborted: isAborted ? 1 : 0 });
    },
    restore(rows) {
      for (const row of rows) add(row);
    },
    rows: (since = '') =>
      [...days.keys()]
        .filter((day) => day >= since)
        .sort()
        .flatMap(ofDay),
    ofDay,
    takeChanged() {
      const taken = [...changed];
      changed = new Set();
      return taken;
    },
    forgetBefore(first) {
      const gone = [...days.keys()].filter((day) => day < first);
      for (const day of gone) days.delete(day);
      return gone;
    },
  };
}

/** What several rows come to, by one of their fields; the most tokens first. */
export function usageBy(rows: readonly UsageRow[], field: 'client' | 'model' | 'day'): readonly UsageTotal[] {
  const totals = new Map<string, { -readonly [K in keyof UsageTotal]: UsageTotal[K] }>();
  for (const row of rows) {
    const name = row[field];
    const total = totals.get(name) ?? { name, requests: 0, aborted: 0, promptTokens: 0, outputTokens: 0 };
    total.requests += row.requests;
    total.aborted += row.aborted;
    total.promptTokens += row.promptTokens;
    total.outputTokens += row.outputTokens;
    totals.set(name, total);
  }
  const tokens = (total: UsageTotal): number => total.promptTokens + total.outputTokens;
  return [...totals.values()].sort((a, b) => tokens(b) - tokens(a) || compare(a.name, b.name));
}

export interface UsageTotal extends Omit<UsageRow, 'day' | 'client' | 'model'> {
  /** Of the client, the model, or the day. */
  readonly name: string;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
