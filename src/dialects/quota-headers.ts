/** How much a client may still use, in the words of each API. */
import type { QuotaState } from '../core/quota.ts';
import type { DialectName } from './dialect.ts';

/** Names and values in turn. `wallNow` is in epoch milliseconds. */
export function quotaHeaders(dialect: DialectName, state: QuotaState, wallNow: number): readonly string[] {
  const { limit, remaining, resetMs } = state;
  if (dialect === 'anthropic') {
    const names = ['Limit', 'Remaining', 'Reset'].map((name) => `Anthropic-Ratelimit-Tokens-${name}`);
    const at = new Date(Math.ceil((wallNow + resetMs) / 1000) * 1000).toISOString().replace('.000Z', 'Z');
    return [names[0]!, String(limit), names[1]!, String(remaining), names[2]!, at];
  }
  return [
    'X-Ratelimit-Limit-Tokens',
    String(limit),
    'X-Ratelimit-Remaining-Tokens',
    String(remaining),
    'X-Ratelimit-Reset-Tokens',
    goDuration(resetMs),
  ];
}

/** As OpenAI writes it: `6m0s`, `1s`. */
function goDuration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const parts = [hours > 0 ? `${hours}h` : '', hours > 0 || minutes > 0 ? `${minutes}m` : '', `${seconds % 60}s`];
  return parts.join('');
}
