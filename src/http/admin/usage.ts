/** The usage ledger as the admin API shows it. */
import { usageBy, type UsageRow } from '../../core/ledger.ts';
import { Problem } from './problem.ts';
import type * as shapes from './shapes.ts';

export interface UsageQuery {
  readonly since?: string | undefined;
  readonly by?: string | undefined;
}

export function showUsage(rows: (since?: string) => readonly UsageRow[], { by, since }: UsageQuery): shapes.UsageRow[] {
  if (since !== undefined && !/^\d{4}-\d\d-\d\d$/.test(since)) {
    throw new Problem(400, '`since` is a day: 2026-11-25');
  }
  if (by === undefined)
    return rows(since).map(({ day, client, model, ...sums }) => shown({ day, client, model }, sums));
  if (by !== 'client' && by !== 'model' && by !== 'day') throw new Problem(400, '`by` is `client`, `model` or `day`');
  const none = { day: null, client: null, model: null };
  return usageBy(rows(since), by).map(({ name, ...sums }) => shown({ ...none, [by]: name }, sums));
}

function shown(
  what: Pick<shapes.UsageRow, 'day' | 'client' | 'model'>,
  { aborted, outputTokens, promptTokens, requests }: Omit<UsageRow, 'day' | 'client' | 'model'>,
): shapes.UsageRow {
  return { ...what, requests, aborted, prompt_tokens: promptTokens, output_tokens: outputTokens };
}
