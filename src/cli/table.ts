/** Plain tables for terminals: columns padded, cut where the line would be too long. Pure. */

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Most characters; what is longer ends in `…`. */
  readonly most?: number;
}

const gap = '  ';

/** The rows with their titles above them, at most `width` characters each; the last column takes what is left. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string[] {
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map(({ most = Infinity }, index) =>
    Math.min(most, Math.max(...all.map((row) => row[index]!.length))),
  );
  return all.map((row) => {
    const cells = row.map((cell, index) => {
      const short = cut(cell, widths[index]!);
      if (columns[index]!.align === 'right') return short.padStart(widths[index]!);
      return index === columns.length - 1 ? short : short.padEnd(widths[index]!);
    });
    return cut(cells.join(gap).trimEnd(), width);
  });
}

/** At most so many characters. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1))}…`;
}

/** `1.5 GB`, in powers of a thousand, as Ollama writes sizes. */
export function size(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `340 ms`, `1.2 s`, `42 s`, `3m 10s`, `2h 5m`, `3d 4h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const steps = [
    [86_400, 'd', 3600, 'h'],
    [3600, 'h', 60, 'm'],
    [60, 'm', 1, 's'],
  ] as const;
  const [large, a, small, b] = steps.find(([unit]) => seconds >= unit)!;
  return `${Math.floor(seconds / large)}${a} ${Math.floor((seconds % large) / small)}${b}`;
}
