/** A scenario: what is done to a gateway, and the bars it has to clear. */
import { join } from 'node:path';
import type { Figures, Violation } from './check.ts';
import type { HistoryEvent } from './history.ts';
import { Stage, type StageOptions } from './stage.ts';

export interface Circumstances {
  readonly quick: boolean;
  readonly seed: number;
  /** Where the scenario may write. */
  readonly directory: string;
  /** The gateway's `src/main.ts`, when it is not this repository's. */
  readonly program?: string;
}

/** One thing that had to be so. */
export interface Bar {
  readonly text: string;
  readonly holds: boolean;
}

export interface Finding {
  readonly bars: readonly Bar[];
  /** What else is worth a line. */
  readonly figures: readonly string[];
  readonly violations: readonly Violation[];
  readonly events: readonly HistoryEvent[];
}

export interface Scenario {
  readonly id: string;
  readonly title: string;
  run(circumstances: Circumstances): Promise<Finding>;
}

export type StageNeeds = Omit<StageOptions, 'directory' | 'seed' | 'program'> & { readonly name?: string };

/** What a scenario has found beside the checker: its own bars and figures. */
export interface Own {
  readonly bars: readonly Bar[];
  readonly figures?: readonly string[];
}

export interface Act {
  readonly stage: Stage;
  readonly figures: Figures;
  readonly events: readonly HistoryEvent[];
}

/**
 * Opens a stage, plays, waits until all is quiet, stops the gateway, checks the history, and judges. `judge` gets what `play`
 * returned.
 */
export async function perform<T>(
  { directory, program, seed }: Circumstances,
  { name = 'run', ...needs }: StageNeeds,
  play: (stage: Stage) => Promise<T>,
  judge: (played: T, act: Act) => Own,
): Promise<Finding> {
  const stage = await Stage.open({
    ...needs,
    seed,
    directory: join(directory, name),
    ...(program !== undefined && { program }),
  });
  let exitCode: number | null = null;
  try {
    const played = await play(stage);
    await stage.quiet();
    exitCode = await stage.close();
    const { verdict, events } = stage.check();
    const own = judge(played, { stage, figures: verdict.figures, events });
    const complaints = stage.complaints();
    const ends = bar(exitCode === 0 && complaints === '', `the gateway stops with exit code ${exitCode}${complaints}`);
    return {
      bars: [...own.bars, ends],
      figures: [usualFigures(verdict.figures), ...(own.figures ?? [])],
      violations: verdict.violations,
      events,
    };
  } finally {
    await stage.close();
  }
}

export function bar(holds: boolean, text: string): Bar {
  return { holds, text };
}

function usualFigures({ requests, endings, attemptsPerRequest, wholeP50Ms, wholeP99Ms }: Figures): string {
  const counts = Object.entries(endings).map(([ending, count]) => `${count} ${ending}`);
  const latency = `whole answers ${ms(wholeP50Ms)} p50, ${ms(wholeP99Ms)} p99`;
  return `${requests} requests: ${counts.join(', ')}; ${attemptsPerRequest.toFixed(3)} attempts each; ${latency}`;
}

export function ms(value: number): string {
  return Number.isNaN(value) ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function percent(share: number): string {
  return Number.isNaN(share) ? '–' : `${(share * 100).toFixed(share > 0.99 ? 3 : 1)} %`;
}

export function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
