/**
 * What one finished request adds to. Nearly all requests look like the one before, so the counters are looked up once for each kind
 * of request and kept: finding eight series by their labels costs more than adding to them.
 */
import type { RequestFinished } from '../core/events.ts';
import type { Add, Series } from './series.ts';

/** Ollama reports a load of some tens of milliseconds for a model that is in memory; no real one is that fast. */
const coldFromMs = 200;

/** Where requests of one kind are counted. */
interface Usual {
  readonly requests: Add;
  readonly duration: Add;
  /** Null for a kind that was never in the queue. */
  readonly queueWait: Add | null;
  readonly overhead: Add;
  /** Null where no backend was chosen. */
  readonly decisions: Add | null;
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
    const { durationMs, failovers, firstByteMs, gonePhase, outcome, overheadMs, queueMs, traceId } = event;
    const series = this.#series;
    const usual = this.#usualOf(event, model);
    usual.requests(1, null);
    usual.duration(durationMs / 1000, traceId);
    usual.queueWait?.(queueMs / 1000, traceId);
    if (overheadMs !== undefined) usual.overhead(overheadMs / 1000, null);
    usual.decisions?.(1, null);
    if (failovers > 0) series.add('failovers', { outcome }, failovers);
    if (gonePhase !== null) series.add('clientDisconnects', { phase: gonePhase }, 1);
    else if (outcome !== 'ok') {
      if (firstByteMs !== null) series.add('streamAborted', { backend: event.backend ?? '', cause: outcome }, 1);
      else if (event.attempts === 0) series.add('rejected', { reason: outcome }, 1);
    }
    countUsage(usual, event);
  }

  /** To be called before series are forgotten: what is kept here would count into them unseen. */
  forget(): void {
    this.#usual.clear();
  }

  #usualOf(event: RequestFinished, model: string): Usual {
    const { outcome, priority = 'standard', reason, route } = event;
    const [backend, stream, waited] = [event.backend ?? '', String(event.stream), waitOutcome(event)];
    const key = `${route}\n${model}\n${backend}\n${outcome}\n${waited}\n${reason}\n${stream}\n${priority}`;
    const known = this.#usual.get(key);
    if (known !== undefined) return known;
    const series = this.#series;
    const usual = {
      requests: series.adder('requests', { route, model, backend, outcome, stream }),
      duration: series.adder('duration', { route, model, outcome }),
      queueWait: waited === null ? null : series.adder('queueWait', { model, priority, outcome: waited }),
      overhead: series.adder('overhead', { route }),
      decisions: reason === null ? null : series.adder('routingDecisions', { reason }),
      input: series.adder('tokens', { model, backend, type: 'input' }),
      output: series.adder('tokens', { model, backend, type: 'output' }),
      load: series.adder('modelLoad', { model, backend }),
      perToken: series.adder('perToken', { model, backend }),
      rate: series.adder('tokenRate', { model, backend }),
    };
    this.#usual.set(key, usual);
    return usual;
  }
}

function countUsage(counts: Usual, event: RequestFinished): void {
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
