/** Everybody who is told of events, and the one place events are handed to. */
import type { Emit } from '../core/events.ts';
import type { BackendId, Clock, ModelName } from '../core/types.ts';
import type { FleetView } from './fleet-view.ts';
import { createLog, type Log, type LogDependencies, type LogOptions } from './log.ts';
import { createMetrics, type Metrics, type MetricsOptions } from './metrics.ts';
import { createTracing, type Tracing } from './tracing.ts';

export interface ObserversDependencies extends LogDependencies {
  readonly clock: Clock;
  readonly wallNow: () => number;
  /** The gateway's own version. */
  readonly version: string;
  /** Where spans are sent, the path included; null turns traces off. */
  readonly traceEndpoint: string | null;
  readonly view: () => FleetView;
  /** Null when there is no such backend. */
  readonly urlOf: (backend: BackendId) => string | null;
  readonly isKnownModel: (name: ModelName) => boolean;
}

export interface Observers {
  readonly emit: Emit;
  /** One more that is told, after the others. */
  readonly subscribe: (observe: Emit) => void;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
}

/** What the dependencies tell of is asked for later only: none of it has to be there yet. */
export function createObservers(
  deps: ObserversDependencies,
  options: { readonly log: LogOptions; readonly metrics: MetricsOptions },
): Observers {
  const { traceEndpoint: endpoint, urlOf } = deps;
  const log = createLog(deps, options.log);
  const metrics = createMetrics(deps, options.metrics);
  const tracing = createTracing({
    ...deps,
    endpoint,
    addressOf: (backend) => addressIn(urlOf(backend)),
    say: (...line) => log.say(...line),
  });
  const others: Emit[] = [];
  const emit: Emit = (event) => {
    log.observe(event);
    metrics.observe(event);
    tracing.observe(event);
    for (const observe of others) observe(event);
  };
  return { emit, subscribe: (observe) => void others.push(observe), log, metrics, tracing };
}

function addressIn(url: string | null): { host: string; port: number } | null {
  if (url === null) return null;
  const { hostname: host, port, protocol } = new URL(url);
  return { host, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
}
