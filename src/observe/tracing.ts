/** Traces: spans of finished requests and attempts, sent to an OTLP receiver when one is named. docs/tracing.md. */
import { randomBytes } from 'node:crypto';
import { Type, type Static } from 'typebox';
import type { Event } from '../core/events.ts';
import type { Clock } from '../core/types.ts';
import type { Log } from './log.ts';
import { openExporter, type Exporter, type ExporterOptions } from './otlp.ts';
import { spansOf, type Span, type SpanContext } from './spans.ts';

export const TracingOptions = Type.Object(
  {
    sample: Type.Number({
      description:
        'Share of the requests without a `traceparent` of their own whose trace is recorded; one that brings its own is ' +
        'recorded when its caller says so.',
      default: 1,
      minimum: 0,
      maximum: 1,
    }),
  },
  {
    additionalProperties: false,
    description:
      'Traces. They are sent when the environment names a receiver, in OTEL_EXPORTER_OTLP_ENDPOINT or ' +
      'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; docs/tracing.md says what is in them.',
  },
);
export type TracingOptions = Static<typeof TracingOptions>;

export interface TracingDependencies {
  /** Where spans are sent, the path included; null turns traces off. */
  readonly endpoint: string | null;
  readonly version: string;
  readonly clock: Clock;
  readonly wallNow: () => number;
  readonly addressOf: SpanContext['addressOf'];
  readonly say: Log['say'];
  /** Loads what sends; OpenTelemetry's exporter when absent. */
  readonly open?: (options: ExporterOptions) => Promise<Exporter>;
}

export interface Tracing {
  /** Whether there is somebody to send spans to. */
  readonly isOn: boolean;
  observe(event: Event): void;
  /** Sends what is left, for as long as a stop can wait. */
  close(): Promise<void>;
}

/** Spans that may wait while the packages are loaded. */
const mostWaiting = 4096;

/** How long a stop waits for a receiver. */
const closeMs = 2000;

export function createTracing(deps: TracingDependencies): Tracing {
  const { clock, endpoint, say, version, wallNow } = deps;
  if (endpoint === null) return { isOn: false, observe: () => {}, close: async () => {} };
  const context = { addressOf: deps.addressOf, newId: () => randomBytes(8).toString('hex') };
  const waiting: Span[] = [];
  let exporter: Exporter | null = null;
  let isOn = true;
  let add = (span: Span): void => {
    if (waiting.length < mostWaiting) waiting.push(span);
  };
  const opened = (deps.open ?? openExporter)({ url: endpoint, version, sent: createReport(say) }).then(
    (made) => {
      exporter = made;
      add = (span) => made.add(span);
      for (const span of waiting.splice(0)) made.add(span);
    },
    (error: unknown) => {
      isOn = false;
      add = () => {};
      waiting.length = 0;
      say('error', 'traces are off: the OpenTelemetry packages cannot be loaded', {
        reason: (error as Error).message.split('\n')[0],
        fix: 'npm install @opentelemetry/api @opentelemetry/sdk-trace-base @opentelemetry/resources @opentelemetry/exporter-trace-otlp-http',
      });
    },
  );

  return {
    get isOn() {
      return isOn;
    },
    observe(event) {
      if (!isOn) return;
      try {
        for (const span of spansOf(event, { ...context, endedAt: wallNow() })) add(span);
      } catch {
        // A trace is worth no request.
      }
    },
    async close() {
      await opened;
      if (exporter === null) return;
      const late = Promise.withResolvers<void>();
      const timer = clock.after(closeMs, late.resolve);
      await Promise.race([exporter.close(), late.promise]);
      timer.cancel();
    },
  };
}

/** Says that sending fails when it begins to, and that it goes again, and nothing in between. */
function createReport(say: Log['say']): ExporterOptions['sent'] {
  let fails = false;
  return (problem) => {
    if (problem !== null && !fails) say('warn', 'traces are not received', { reason: problem });
    if (problem === null && fails) say('info', 'traces are received again');
    fails = problem !== null;
  };
}
