/**
 * Compressed request bodies. Ollama decodes only zstd, only on the /v1 routes that ollama.com serves too, and only within
 * these bounds; anything else it reads as it is. Decompressing is the listener's work: this room does no I/O and blocks nobody.
 */
import type { Route } from './dialect.ts';

/** Ollama's bounds: what it answers beyond them is `zstd: window size exceeded` and `http: request body too large`. */
export const zstdLimits = { windowBytes: 8 * 1_024 * 1_024, bodyBytes: 20 * 1_024 * 1_024 } as const;

const ZSTD_PATHS: ReadonlySet<string> = new Set([
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/messages',
]);

/** True when the body must be decompressed before `read` understands it. Ollama compares the header exactly. */
export function needsZstd(route: Route, headers: Readonly<Record<string, string | string[] | undefined>>): boolean {
  return route.method === 'POST' && ZSTD_PATHS.has(route.path) && headers['content-encoding'] === 'zstd';
}
