import type { Io } from '../io.ts';
import { paintFor } from '../paint.ts';
import { screen } from './screen.ts';
import type { Seen } from './state.ts';

/** The screen once, for scripts and pipes: all of it, whatever the terminal's height, and nothing selected. */
export function still(seen: Seen, { env, stdout }: Io): string {
  const view = {
    columns: stdout.columns ?? 80,
    rows: null,
    order: 'name',
    selected: null,
    notice: '',
    elapsedMs: 0,
  } as const;
  return `${screen(seen, view, paintFor(stdout, env)).join('\n')}\n`;
}
