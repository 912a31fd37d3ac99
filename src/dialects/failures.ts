import type { AttemptFailure } from '../core/retry.ts';
import type { DialectName } from './dialect.ts';

export function classify(status: number, text: string, _dialect: DialectName): AttemptFailure {
  if (status === 503 && text.includes('maximum pending requests exceeded')) return 'backend-busy';
  if (status === 502 || status === 503 || status === 504) return 'backend-unavailable';
  if (status === 500 && /llama-server|model runner|an error was encountered while running/.test(text))
    return 'runner-failed';
  if (status === 404 && /model .*not found/.test(text)) return 'model-missing';
  if (status === 429) return 'rate-limited';
  return 'client-mistake';
}
