/** The operator's rules about models, applied to a request that has come: the bytes are changed, and read again. */
import type { Emit } from '../core/events.ts';
import type { ModelRules, Ruling } from '../core/model-rules.ts';
import type { ModelName } from '../core/types.ts';
import type { Dialect, Reading, ReadContext, Route } from '../dialects/dialect.ts';
import { rewriteBody, type BodyChanges } from '../dialects/rewrite.ts';

/** What readers of requests need of the rules. */
export interface RuleBook {
  readonly rules: ModelRules;
  /** Whether some backend that is up has the model. */
  readonly canServe: (model: ModelName) => boolean;
  readonly emit: Emit;
}

export interface Ruled {
  readonly body: Buffer;
  readonly reading: Reading;
}

/** Null when no rule changes anything. `body` is plain, not compressed. */
export function applyRules(
  request: { readonly route: Route; readonly dialect: Dialect; readonly body: Buffer; readonly reading: Reading },
  context: ReadContext,
  { rules, canServe, emit }: RuleBook,
): Ruled | null {
  const { body, dialect, reading, route } = request;
  const { model } = reading;
  // A multipart body (transcriptions) has no JSON to change.
  if (model === null || route.endpoint === 'transcriptions') return null;
  const numCtx = /(?:^|,)num_ctx=(\d+)/.exec(reading.runnerOptions)?.[1];
  const carriesOptions = route.dialect === 'ollama' && route.kind === 'infer';
  const ruled = rules.rule(
    { model, numCtx: numCtx === undefined ? null : Number(numCtx), keepAliveMs: reading.keepAliveMs, carriesOptions },
    canServe,
  );
  if (ruled === null) return null;
  emit({ kind: 'request-rewritten', model, rewrites: ruled.kinds });
  const changed = rewriteBody(body, changesOf(ruled.ruling));
  return { body: changed, reading: dialect.read(route, changed, context) };
}

function changesOf({ keepAliveMs, model, numCtx }: Ruling): BodyChanges {
  return {
    ...(model !== undefined && { model }),
    ...(numCtx !== undefined && { options: { num_ctx: numCtx } }),
    ...(keepAliveMs !== undefined && { keepAlive: Math.ceil(keepAliveMs / 1000) }),
  };
}
