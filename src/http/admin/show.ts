/** What core knows, in the admin API's words. Pure. */
import { modelFilter } from '../../core/backend.ts';
import type { BackendView } from '../../core/fleet.ts';
import type { RequestFinished } from '../../core/events.ts';
import type { WaitingView } from '../../core/queue.ts';
import type { Decision as CoreDecision } from '../../core/routing/decisions.ts';
import type { Learnt } from '../../core/routing/knowledge.ts';
import type { Millis, ModelName } from '../../core/types.ts';
import type { Account } from '../account.ts';
import type { ActiveRequest, Backend, Decision, FinishedRequest, Model, ModelPlace, QueueRow } from './shapes.ts';

/** What is known of a backend beside its row in the fleet. */
export interface Beside {
  readonly isSimulated: boolean;
  readonly learnt: Learnt['backends'][number] | undefined;
  /** Null while nobody counts. */
  readonly tokensPerSecond: number | null;
}

export function showBackend(view: BackendView, { isSimulated, learnt, tokensPerSecond }: Beside): Backend {
  const { id, inFlight, inFlightByModel, installed, lastError, resident, slots, spec } = view;
  return {
    name: id,
    url: spec.url,
    simulated: isSimulated,
    state: view.state,
    reason: view.reason,
    breaker: view.breaker,
    last_error: lastError,
    version: view.version,
    weight: spec.weight,
    slots: Number.isFinite(slots) ? slots : null,
    in_flight: inFlight,
    in_flight_by_model: Object.fromEntries(inFlightByModel),
    memory_bytes: spec.memory ?? null,
    models: installed?.map(({ name }) => name) ?? null,
    resident:
      resident?.map(({ contextLength, expiresAt, name, sizeBytes, vramBytes }) => ({
        name,
        size_bytes: sizeBytes,
        vram_bytes: vramBytes,
        context_length: contextLength,
        expires_at: expiresAt,
      })) ?? null,
    troubled: view.troubled.map(({ model, reason }) => ({ model, reason })),
    learnt:
      learnt === undefined
        ? null
        : {
            prompt_tokens_per_second: rounded(learnt.prefillPerSecond),
            models: learnt.runners.map(({ holdMs, loadMs, model, options, slots: shown, slotsAtMost }) => ({
              model,
              options,
              slots: shown,
              slots_at_most: slotsAtMost ?? null,
              load_ms: rounded(loadMs),
              hold_ms: rounded(holdMs),
            })),
          },
    tokens_per_second: tokensPerSecond,
  };
}

/** Every model any backend has, by name. */
export function showModels(views: readonly BackendView[]): readonly Model[] {
  const backends = views.map((view) => ({
    id: view.id,
    installed: view.installed === null ? null : new Map(view.installed.map((model) => [model.name, model])),
    resident: new Set(view.resident?.map(({ name }) => name)),
    allows: view.spec.models === null ? () => true : modelFilter(view.spec.models),
  }));
  const names = new Set(backends.flatMap(({ installed }) => [...(installed?.keys() ?? [])]));
  return [...names].sort().map((name) => {
    const copies = backends.flatMap(({ installed }) => installed?.get(name) ?? []);
    const digests = copies.map(({ digest }) => digest);
    const usual = mostFrequent(digests);
    return {
      name,
      size_bytes: copies.find(({ digest }) => digest === usual)?.sizeBytes ?? 0,
      digests: new Set(digests).size,
      on: Object.fromEntries(backends.map((backend) => [backend.id, placeOn(backend, name, usual)])),
    };
  });
}

interface Holder {
  readonly installed: ReadonlyMap<ModelName, { readonly digest: string }> | null;
  readonly resident: ReadonlySet<ModelName>;
  readonly allows: (model: ModelName) => boolean;
}

function placeOn({ allows, installed, resident }: Holder, name: ModelName, usual: string): ModelPlace {
  const digest = installed?.get(name)?.digest ?? null;
  const differs = digest !== null && digest !== usual;
  if (installed === null) return { state: 'unknown', digest, differs };
  if (digest === null) return { state: 'missing', digest, differs };
  if (resident.has(name)) return { state: 'resident', digest, differs };
  return { state: allows(name) ? 'on-disk' : 'excluded', digest, differs };
}

/** The first of those that occur most often. */
function mostFrequent(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best), ['', 0] as const)[0];
}

/** Those that wait, gathered by model, client and priority; who has waited longest is first. */
export function showQueue(waiting: readonly WaitingView[]): readonly QueueRow[] {
  const rows = new Map<string, QueueRow>();
  for (const { client, leftMs, model, priority, waitedMs } of waiting) {
    const key = JSON.stringify([model, client, priority]);
    const before = rows.get(key);
    rows.set(key, {
      model,
      client,
      priority,
      waiting: (before?.waiting ?? 0) + 1,
      longest_ms: Math.round(Math.max(before?.longest_ms ?? 0, waitedMs)),
      soonest_refusal_ms: Math.round(Math.min(before?.soonest_refusal_ms ?? Infinity, leftMs)),
    });
  }
  return [...rows.values()].sort((a, b) => b.longest_ms - a.longest_ms);
}

export function showActive(account: Account, now: Millis): ActiveRequest {
  return {
    id: account.requestId,
    route: account.route,
    model: account.model,
    client: account.client,
    phase: account.phase,
    backend: account.phase === 'queued' ? null : account.backend,
    reason: account.phase === 'queued' ? null : account.reason,
    stream: account.stream,
    attempts: account.attempts,
    age_ms: Math.round(now - account.startedAt),
    first_byte_ms: rounded(account.firstByteMs),
    output_tokens: account.meter?.outputSoFar() ?? 0,
  };
}

/** `endedAt`: epoch milliseconds. */
export function showFinished(event: RequestFinished, endedAt: number): FinishedRequest {
  const { loadMs, outputTokens, promptTokens } = event.usage;
  return {
    id: event.requestId,
    ended_at: endedAt,
    route: event.route,
    model: event.model,
    client: event.client,
    backend: event.backend,
    reason: event.reason,
    warm: event.warm,
    stream: event.stream,
    attempts: event.attempts,
    failovers: event.failovers,
    status: event.status,
    outcome: event.outcome,
    queue_ms: Math.round(event.queueMs),
    first_byte_ms: rounded(event.firstByteMs),
    duration_ms: Math.round(event.durationMs),
    prompt_tokens: promptTokens ?? null,
    output_tokens: outputTokens ?? null,
    load_ms: rounded(loadMs ?? null),
    tokens_per_second: paceOf(event),
  };
}

/** By the backend's own figures, or as its client saw the stream. */
function paceOf({ durationMs, firstByteMs, stream, usage }: RequestFinished): number | null {
  const seen = stream && firstByteMs !== null ? durationMs - firstByteMs : 0;
  const ms = usage.outputMs ?? seen;
  const isTold = usage.outputTokens !== undefined && usage.outputTokens > 1 && ms > 0;
  return isTold ? Math.round((usage.outputTokens / ms) * 10_000) / 10 : null;
}

/** How long ago instead of when, because the clock's zero means nothing outside. */
export function showDecision(decision: CoreDecision, now: Millis): Decision {
  const { at, backend, model, options, why } = decision;
  const told = { ago_ms: Math.round(now - at), model, options, backend, why };
  switch (decision.kind) {
    case 'sent':
      return {
        kind: 'sent',
        job: decision.job,
        ...told,
        reason: decision.reason,
        waited_ms: Math.round(decision.waitedMs),
        candidates: decision.candidates.map(showCandidate),
      };
    case 'held':
      return {
        kind: 'held',
        job: decision.job,
        ...told,
        instead: decision.instead,
        for_ms: Math.round(decision.forMs),
        candidates: decision.candidates.map(showCandidate),
      };
    case 'placed':
      return {
        kind: 'placed',
        ...told,
        evicted: [...decision.evicted],
        price_ms: Math.round(decision.priceMs),
        regret_ms: Math.round(decision.regretMs),
        waiting: decision.waiting,
      };
  }
}

function showCandidate(
  candidate: Extract<CoreDecision, { kind: 'sent' }>['candidates'][number],
): Extract<Decision, { kind: 'sent' }>['candidates'][number] {
  const { backend, cachedTokens, free, loadMs, phase, prefillMs, totalMs, waitMs } = candidate;
  return {
    backend,
    phase,
    free,
    wait_ms: Math.round(waitMs),
    load_ms: Math.round(loadMs),
    prefill_ms: Math.round(prefillMs),
    cached_tokens: Math.round(cachedTokens),
    total_ms: Math.round(totalMs),
  };
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
