/** A receiver of traces on loopback: takes what an OTLP exporter posts as JSON, and gives it back as plain spans. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Closer } from './closer.ts';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' for the first of a trace. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'other';
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly failed: boolean;
}

export interface OtlpReceiver {
  /** The base URL: what OTEL_EXPORTER_OTLP_ENDPOINT would be. */
  readonly url: string;
  readonly posts: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  readonly spans: readonly ReceivedSpan[];
  readonly resource: Readonly<Record<string, unknown>>;
  /** Of every answer from now on. */
  status: number;
}

interface WireAttribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface WireSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly WireAttribute[];
  readonly status: { readonly code?: number };
}

interface WireExport {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[];
  }[];
}

const kinds = ['other', 'internal', 'server', 'client'] as const;

export async function otlpReceiver(t: Closer): Promise<OtlpReceiver> {
  const posts: { path: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const spans: ReceivedSpan[] = [];
  let resource: Readonly<Record<string, unknown>> = {};
  const answer = { status: 200 };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      posts.push({ path: request.url ?? '', headers: request.headers, body });
      if (answer.status === 200) {
        for (const group of (JSON.parse(body) as WireExport).resourceSpans) {
          resource = attributesOf(group.resource.attributes);
          spans.push(...group.scopeSpans.flatMap((scope) => scope.spans.map(received)));
        }
      }
      response.writeHead(answer.status, { 'Content-Type': 'application/json' });
      response.end('{}');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    posts,
    spans,
    get resource() {
      return resource;
    },
    get status() {
      return answer.status;
    },
    set status(status) {
      answer.status = status;
    },
  };
}

function received(span: WireSpan): ReceivedSpan {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentId: span.parentSpanId ?? '',
    name: span.name,
    kind: kinds[span.kind] ?? 'other',
    startedAt: Number(span.startTimeUnixNano) / 1e6,
    endedAt: Number(span.endTimeUnixNano) / 1e6,
    attributes: attributesOf(span.attributes),
    failed: span.status.code === 2,
  };
}

/** `{stringValue: 'x'}`, `{intValue: 1}` and so on become the value. */
function attributesOf(list: readonly WireAttribute[]): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]));
}
