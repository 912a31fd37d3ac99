/** The API a path belongs to, for errors on paths that no route serves. */
import type { DialectName } from './dialect.ts';

export function dialectOfPath(path: string): DialectName {
  if (!/^\/+v1(?:\/|$)/.test(path)) {
    return 'ollama';
  }
  if (/^\/+v1\/+messages(?:\/|$)/.test(path)) {
    return 'anthropic';
  }
  return /^\/+v1\/+responses(?:\/|$)/.test(path) ? 'responses' : 'openai';
}
