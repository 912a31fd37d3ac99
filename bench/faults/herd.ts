/** The simulated backends, and what an observer who does not trust the core knows of the configuration. */
import type { BackendSpec } from '../../src/core/backend.ts';

/** How a machine behaves towards what is sent to it from now on. */
export type Mood = 'well' | 'killed' | 'hung' | 'busy' | 'broken' | 'missing' | 'late' | 'truncating' | 'losing';

export const moods: readonly Mood[] = ['killed', 'hung', 'busy', 'broken', 'missing', 'late', 'truncating', 'losing'];

export interface Machine {
  mood: Mood;
  /** What it would say it has. */
  models: readonly string[];
}

/** What the core has been told of a configured backend, noted by somebody else. */
export interface Told {
  readonly spec: BackendSpec;
  isDraining: boolean;
  /** Null until the first inventory. */
  models: readonly string[] | null;
  busyUntil: number;
}

export function machineOf({ id, url }: Pick<BackendSpec, 'id' | 'url'>): string {
  return `${id} ${url}`;
}
