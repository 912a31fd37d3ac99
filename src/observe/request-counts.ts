/**
 * What one finished request adds to. Nearly all requests end well and look like the one before, so the counters of those are
 * looked up once for each kind and kept: finding eight series by their labels costs more than adding to them.
 */
import type { RequestFinished } from '../core/events.ts';
import type { Add, Series } from './series.ts';

/** Ollama reports a load of some tens of milliseconds for a model that is in memory; no real one is that fast. */
const coldFromMs = 200;

/** Where a request that ended well is counted. */
interface Usual {
  readonly requests: Add;
  readonly duration: Add;
  readonly queueWait: Add;
  readonly overhead: Add;
  readonly decisions: Add;
  readonly usage: UsageCounts;
}

interface UsageCounts {
  readonly input: Add;
  readonly output: Add;
  readonly load: Add;
  readonly perToken: Add;
  readonly rate: Add;
}

export class RequestCounts {
  readonly #series: Series;
  readonly #usual = new Map<string, Usual>();

  constructor(series: Series) {
    this.#series = series;
  }

  /** `model` is the label. */
  count(event: RequestFinished, model: string): void {
    if (event.outcome !== 'ok' || event.backend === null || event.reason === null || event.gonePhase !== null) {
      this.#countUnusual(event, model);
      return;
    }
    const usual = this.#usualOf(event, model);
    usual.requests(1, null);
    usual.duration(event.durationMs / 1000, event.traceId);
    usual.queueWait(event.queueMs / 1000, event.traceId);
    if (event.overheadMs !== undefined) usual.overhead(event.overheadMs / 1000, null);
    usual.decisions(1, null);
    if (event.failovers > 0) this.#series.add('failovers', { outcome: event.outcome }, event.failovers);
    countUsage(usual.usage, event);
  }

  /** To be called before series are forgotten: what is kept here would count into them unseen. */
  forget(): void {
    this.#usual.clear();
  }

  #usualOf({ backend, outcome, priority = 'standard', reason, route, stream }: RequestFinished, model: string): Usual {
    const key = `${route}\n${model}\n${backend}\n${reason}\n${stream}\n${priority}`;
    const known = this.#usual.get(key);
    if (known !== undefined) return known;
    const series = this.#series;
    const usual = {
      requests: series.adder('requests', { route, model, backend: backend ?? '', outcome, stream: String(stream) }),
      duration: series.adder('duration', { route, model, outcome }),
      queueWait: series.adder('queueWait', { model, priority, outcome: 'leased' }),
      overhead: series.adder('overhead', { route }),
      decisions: series.adder('routingDecisions', { reason: reason ?? '' }),
      usage: this.#usageCounts(model, backend ?? ''),
    };
    this.#usual.set(key, usual);
    return usual;
  }

  #usageCounts(model: string, backend: string): UsageCounts {
    const series = this.#series;
    return {
      input: series.adder('tokens', { model, backend, type: 'input' }),
      output: series.adder('tokens', { model, backend, type: 'output' }),
      load: series.adder('modelLoad', { model, backend }),
      perToken: series.adder('perToken', { model, backend }),
      rate: series.adder('tokenRate', { model, backend }),
    };
  }

  #countUnusual(event: RequestFinished, model: string): void {
    const series = this.#series;
    const { route, outcome, priority = 'standard', traceId } = event;
    const backend = event.backend ?? '';
    series.add('requests', { route, model, backend, outcome, stream: String(event.stream) }, 1);
    series.add('duration', { route, model, outcome }, event.durationMs / 1000, traceId);

    const waited = waitOutcome(event);
    if (waited !== null) series.add('queueWait', { model, priority, outcome: waited }, event.queueMs / 1000, traceId);
    if (event.overheadMs !== undefined) series.add('overhead', { route }, event.overheadMs / 1000);
    if (event.reason !== null) series.add('routingDecisions', { reason: event.reason }, 1);
    if (event.failovers > 0) series.add('failovers', { outcome }, event.failovers);

    if (event.gonePhase !== null) series.add('clientDisconnects', { phase: event.gonePhase }, 1);
    else if (outcome !== 'ok' && event.firstByteMs !== null)
      series.add('streamAborted', { backend, cause: outcome }, 1);
    else if (outcome !== 'ok' && event.attempts === 0) series.add('rejected', { reason: outcome }, 1);

    countUsage(this.#usageCounts(model, backend), event);
  }
}

function countUsage(counts: UsageCounts, event: RequestFinished): void {
  const { promptTokens, outputTokens, outputMs, loadMs } = event.usage;
  if (promptTokens !== undefined) counts.input(promptTokens, null);
  if (outputTokens !== undefined) counts.output(outputTokens, null);
  if (loadMs !== undefined && loadMs >= coldFromMs) counts.load(loadMs / 1000, null);
  const perToken = secondsPerToken(event);
  if (perToken !== null) counts.perToken(perToken, null);
  if (outputTokens !== undefined && outputMs !== undefined && outputMs > 0) {
    counts.rate(outputTokens / (outputMs / 1000), null);
  }
}

/** How a request's stay in the queue ended; null for one that was never in it, such as a list or a refused body. */
function waitOutcome(event: RequestFinished): 'leased' | 'timeout' | 'client-gone' | null {
  if (event.backend !== null) return 'leased';
  if (event.outcome === 'queue-timeout') return 'timeout';
  return event.gonePhase === 'queued' ? 'client-gone' : null;
}

/** By the backend's clock when it told, else by ours from the first byte on; null for answers of less than two tokens. */
function secondsPerToken({ usage, stream, durationMs, firstByteMs, outcome }: RequestFinished): number | null {
  const { outputTokens = 0, outputMs } = usage;
  if (outcome !== 'ok' || outputTokens < 2) return null;
  if (outputMs !== undefined) return outputMs / outputTokens / 1000;
  return stream && firstByteMs !== null ? (durationMs - firstByteMs) / (outputTokens - 1) / 1000 : null;
}
