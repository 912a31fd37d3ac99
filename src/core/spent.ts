/** What a request counts for, in tokens: as its backend reported it, or as near to that as can be known. */
import type { RequestFinished } from './events.ts';
import type { Job } from './types.ts';

export interface Spent {
  readonly promptTokens: number;
  readonly outputTokens: number;
}

const nothing: Spent = { promptTokens: 0, outputTokens: 0 };

/**
 * An answer that was not finished has reported nothing: then the prompt is estimated, and the answer is what has passed of it. A
 * request that no backend has begun to answer, unless its client left, has cost nothing.
 */
export function spentBy(
  finished: Pick<RequestFinished, 'backend' | 'firstByteMs' | 'outcome' | 'promptEstimate' | 'status' | 'usage'>,
): Spent {
  const { backend, firstByteMs, outcome, promptEstimate = 0, status, usage } = finished;
  const { promptTokens, outputTokens = 0 } = usage;
  if (promptTokens !== undefined) return { promptTokens, outputTokens };
  const wasWorkedOn = backend !== null && (outcome === 'client-gone' || (firstByteMs !== null && status < 400));
  return wasWorkedOn ? { promptTokens: promptEstimate, outputTokens } : nothing;
}

/** What a request asks for. */
export type Asked = Pick<Job, 'maxOutputTokens' | 'promptTokens' | 'task'>;

/** What is reserved for a request before anything is known of its answer. */
export function expectedSpend({ maxOutputTokens, promptTokens, task }: Asked): number {
  return promptTokens + (task === 'generate' || task === 'chat' ? (maxOutputTokens ?? EXPECTED_OUTPUT) : 0);
}

/** A usual answer. */
const EXPECTED_OUTPUT = 512;
