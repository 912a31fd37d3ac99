/**
 * The only file that knows OpenTelemetry. Its packages are optional and are loaded when traces are wanted, and not before: a
 * gateway without traces neither needs them nor pays for them.
 */
import type { IdGenerator, ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { Span } from './spans.ts';

export interface Exporter {
  /** Takes a span that is over; sends it with others, later. */
  add(span: Span): void;
  /** Sends what is left. Never rejects. */
  close(): Promise<void>;
}

export interface ExporterOptions {
  /** Where to POST, the path included. */
  readonly url: string;
  readonly version: string;
  /** Called after each sending: null, or why it failed. */
  readonly sent: (problem: string | null) => void;
}

/** Rejects when a package is missing. */
export async function openExporter({ url, version, sent }: ExporterOptions): Promise<Exporter> {
  const [api, base, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } = api;
  const ids = new GivenIds();
  // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come last and win.
  const resource = resources
    .resourceFromAttributes({ 'service.name': 'llamero', 'service.version': version })
    .merge(resources.detectResources({ detectors: [resources.envDetector] }));
  const provider = new base.BasicTracerProvider({
    resource,
    idGenerator: ids,
    // Whether a trace is recorded was decided when the request came.
    sampler: new base.AlwaysOnSampler(),
    spanProcessors: [new base.BatchSpanProcessor(new WatchedExporter(new OTLPTraceExporter({ url }), sent))],
  });
  const tracer = provider.getTracer('llamero', version);
  const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };
  return {
    add({ place, name, kind, startedAt, endedAt, attributes, failed }) {
      const { parentId, traceId } = place;
      const parent =
        parentId === null
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId,
              spanId: parentId,
              traceFlags: TraceFlags.SAMPLED,
              isRemote: kind === 'server',
            });
      ids.next = place;
      const span = tracer.startSpan(name, { kind: kinds[kind], startTime: startedAt, attributes }, parent);
      if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(endedAt);
    },
    close: () => provider.shutdown().catch(() => {}),
  };
}

/** The ids were given when the request came, because its backends were told of them. */
class GivenIds implements IdGenerator {
  next = { traceId: '', spanId: '' };

  generateTraceId(): string {
    return this.next.traceId;
  }

  generateSpanId(): string {
    return this.next.spanId;
  }
}

class WatchedExporter implements SpanExporter {
  readonly #inner: SpanExporter;
  readonly #sent: (problem: string | null) => void;

  constructor(inner: SpanExporter, sent: (problem: string | null) => void) {
    this.#inner = inner;
    this.#sent = sent;
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#inner.export(spans, (result) => {
      const { error } = result;
      this.#sent(error === undefined ? null : error.message);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#inner.forceFlush?.();
  }
}
