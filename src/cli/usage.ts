/** `llamero usage`: who has used how many tokens of which model, as a running gateway has counted. */
import type { Usage, UsageRow } from '../http/admin/shapes.ts';
import { createAdminClient } from './admin-client.ts';
import { adminFlags } from './flags.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

const flags = {
  ...adminFlags,
  since: { value: 'DAY', help: 'The first day, 2026-11-25; all that are kept without it' },
  by: { value: 'FIELD', help: 'One sum for each `client`, `model` or `day`' },
  json: { help: 'Print JSON' },
  csv: { help: 'Print comma-separated values' },
};

const columns = ['day', 'client', 'model', 'requests', 'aborted', 'prompt_tokens', 'output_tokens'] as const;

/** Exit codes: 0 shown, 1 no gateway answers, 2 flags not understood. */
export async function usageCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io, flags);
  if (typeof read === 'number') return read;
  const given = (name: string): string | undefined => read.flags.get(name)?.[0];
  const client = createAdminClient(read.loaded.config.admin, given('token'));
  const query = new URLSearchParams();
  for (const name of ['since', 'by']) if (given(name) !== undefined) query.set(name, given(name)!);
  const answer = await client.get<Usage>(`/gateway/usage?${query.toString()}`);
  if (!answer.ok) {
    io.stderr.write(`llamero: ${client.address} ${answer.problem}\n`);
    return 1;
  }
  const { usage } = answer.value;
  if (given('json') !== undefined) io.stdout.write(`${JSON.stringify(usage, null, 2)}\n`);
  else if (given('csv') !== undefined) io.stdout.write(csv(usage));
  else io.stdout.write(table(usage));
  return 0;
}

/** Only the columns that say something. */
function cellsOf(usage: readonly UsageRow[]): string[][] {
  const shown = columns.filter((column) => usage.length === 0 || usage.some((row) => row[column] !== null));
  return [[...shown], ...usage.map((row) => shown.map((column) => String(row[column])))];
}

function csv(usage: readonly UsageRow[]): string {
  return `${cellsOf(usage)
    .map((cells) => cells.map(quoted).join(','))
    .join('\n')}\n`;
}

/** RFC 4180; a client's name begins no formula in a spreadsheet. */
function quoted(cell: string): string {
  const plain = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** A client's name is a client's text. */
function printable(cell: string): string {
  return cell.replaceAll(/\p{C}/gu, '?');
}

function table(usage: readonly UsageRow[]): string {
  if (usage.length === 0) return 'nothing was used\n';
  const [header, ...cells] = cellsOf(usage);
  const rows = [header!.map((name) => name.replace('_', ' ')), ...cells.map((row) => row.map(printable))];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '));
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}
