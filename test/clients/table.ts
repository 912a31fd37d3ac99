/** The matrix as text. */
import type { Client } from './client.ts';
import type { Column } from './columns.ts';
import type { Verdict } from './matrix.ts';
import type { Tolerance } from './tolerated.ts';

/** A table whose rows can be written one after the other: its widths depend on its labels only. */
export interface Table {
  readonly head: string;
  /** One verdict for each column; a footnote's letter stands behind its mark. */
  readonly row: (label: string, verdicts: readonly Verdict[]) => string;
}

export function table(title: string, columns: readonly Pick<Column, 'name'>[], labels: readonly string[]): Table {
  const left = Math.max(...[title, ...labels].map(({ length }) => length));
  const line = (label: string, cells: readonly string[]): string => {
    const padded = cells.map((cell, place) => cell.padEnd(columns[place]!.name.length));
    return [label.padEnd(left), ...padded].join('  ').trimEnd();
  };
  return {
    head: line(
      title,
      columns.map(({ name }) => name),
    ),
    row: (label, verdicts) => line(label, verdicts.map(mark)),
  };
}

export function labelOf({ name, version }: Pick<Client, 'name' | 'version'>): string {
  return `${name} ${version}`;
}

function mark(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'same':
      return '✓';
    case 'better':
      return `✓ ${verdict.tolerance.footnote}`;
    case 'different':
      return '✗';
    case 'none':
      return '–';
  }
}

/** Each tolerance that was needed, once. */
export function footnotes(verdicts: readonly Verdict[]): readonly string[] {
  const needed = new Set<Tolerance>();
  for (const verdict of verdicts) if (verdict.kind === 'better') needed.add(verdict.tolerance);
  return [...needed]
    .sort((one, other) => one.footnote.localeCompare(other.footnote))
    .map(({ footnote, why }) => `✓ ${footnote}  ${why}`);
}
