/**
 * The two listeners. Fastify routes and runs the hooks; every proxied route is then taken over (`reply.hijack`) and travels as an
 * Exchange. Bodies are never parsed by content type: Ollama ignores it, and so do we.
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { AddressInfo } from 'node:net';
import type { Address } from '../core/options.ts';
import type { Dialect, Route } from '../dialects/dialect.ts';
import { NodeExchange, type Exchange, type FlowLimits } from './exchange.ts';
import { hasUnreadBody } from './headers.ts';

export type Serve = (exchange: Exchange, route: Route, dialect: Dialect, parameter: string | null) => void;

/** A path answered by the gateway itself, on either listener. */
export interface OwnRoute {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'DELETE' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly answer: (request: FastifyRequest, reply: FastifyReply) => unknown;
}

export interface Listener {
  /** Resolves with the bound address as `host:port`; rejects when it can't be had. */
  listen(where: Address): Promise<string>;
  /** Exchanges that have not closed yet. */
  readonly open: ReadonlySet<Exchange>;
  /** Stops accepting; resolves when every connection has closed. */
  close(): Promise<void>;
  /** Closes connections that carry no request. */
  closeIdle(): void;
  /** Closes every connection. */
  closeAll(): void;
}

export interface ListenerOptions {
  readonly flow: FlowLimits;
  readonly maxHeaderBytes: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
}

const methodNotAllowed = '405 method not allowed';
const pageNotFound = '404 page not found';

export function createPublicListener(
  dialects: readonly Dialect[],
  own: readonly OwnRoute[],
  serve: Serve,
  options: ListenerOptions,
): Listener {
  const app = createApp(options);
  const open = new Set<Exchange>();
  const methods = new Map<string, Set<string>>();
  const note = (path: string, method: string) => methods.set(path, (methods.get(path) ?? new Set()).add(method));

  for (const dialect of dialects) {
    for (const route of dialect.routes) {
      note(route.path, route.method);
      const takeOver = (request: FastifyRequest, reply: FastifyReply) => {
        reply.hijack();
        const exchange = track(new NodeExchange(request.raw, reply.raw, options.flow), open, reply);
        const params = request.params as Record<string, string>;
        serve(exchange, route, dialect, Object.values(params)[0] ?? null);
      };
      // In the route's own onRequest, the last one: hooks before it may refuse; after it there is no body parser to disagree.
      app.route({
        method: route.method,
        url: route.path,
        exposeHeadRoute: false,
        onRequest: takeOver,
        handler: unreachable,
      });
    }
  }
  addOwn(app, own, note);
  refuseOthers(app, methods);
  return asListener(app, open);
}

export function createAdminListener(own: readonly OwnRoute[], options: ListenerOptions): Listener {
  const app = createApp(options);
  const methods = new Map<string, Set<string>>();
  addOwn(app, own, (path, method) => methods.set(path, (methods.get(path) ?? new Set()).add(method)));
  refuseOthers(app, methods);
  return asListener(app, new Set());
}

function createApp(options: ListenerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    http: {
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: 1000,
      // What the socket itself queues for a slow reader, piece by piece; beyond it our own, denser backlog begins.
      highWaterMark: 16 * 1024,
    },
    keepAliveTimeout: options.keepAliveTimeoutMs,
    forceCloseConnections: false,
    exposeHeadRoutes: false,
    // While stopping, a request on a connection that is open already is served, and the connection closed after it.
    return503OnClosing: false,
    routerOptions: {
      ignoreDuplicateSlashes: true,
      ignoreTrailingSlash: true,
      caseSensitive: true,
      maxParamLength: 500,
    },
  });
  app.server.on('connection', (socket) => socket.setNoDelay(true));
  return app;
}

function track(exchange: NodeExchange, open: Set<Exchange>, reply: FastifyReply): NodeExchange {
  open.add(exchange);
  reply.raw.once('close', () => open.delete(exchange));
  return exchange;
}

function unreachable(): never {
  throw new Error('the route was taken over before its handler');
}

function addOwn(app: FastifyInstance, own: readonly OwnRoute[], note: (path: string, method: string) => void): void {
  for (const { method, path, answer } of own) {
    note(path, method);
    app.route({ method, url: path, exposeHeadRoute: false, handler: async (request, reply) => answer(request, reply) });
  }
}

/** Ollama's own words for what it does not serve: plain text in all dialects (ollama-wire §1). */
function refuseOthers(app: FastifyInstance, methods: ReadonlyMap<string, ReadonlySet<string>>): void {
  // In onRequest, because a body of any type must not be looked at before the refusal.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) {
      done();
      return;
    }
    reply.hijack();
    refuse(request.raw.method ?? 'GET', allowedMethods(request.url, methods), reply);
  });
  app.setNotFoundHandler(unreachable);
}

function refuse(method: string, allowed: string | null, reply: FastifyReply): void {
  const text = allowed === null ? pageNotFound : methodNotAllowed;
  const headers = allowed === null ? [] : ['Allow', allowed];
  headers.push('Content-Type', 'text/plain', 'Content-Length', String(text.length));
  if (hasUnreadBody(reply.request.raw)) headers.push('Connection', 'close');
  reply.raw.writeHead(allowed === null ? 404 : 405, headers);
  reply.raw.end(method === 'HEAD' ? undefined : text);
}

/** The methods a path is served with, as an `Allow` field; null when no route has the path. */
function allowedMethods(target: string, methods: ReadonlyMap<string, ReadonlySet<string>>): string | null {
  const path = (target.split('?', 1)[0] ?? '').replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
  for (const [template, allowed] of methods) {
    const stem = template.replace(/:[^/]*$/, '');
    const matches =
      stem === template
        ? path === template
        : path.startsWith(stem) && !path.slice(stem.length).includes('/') && path !== stem;
    if (matches) return [...allowed].sort().join(', ');
  }
  return null;
}

function asListener(app: FastifyInstance, open: ReadonlySet<Exchange>): Listener {
  return {
    open,
    async listen({ host, port }) {
      await app.listen({ host, port });
      const { address, family, port: bound } = app.server.address() as AddressInfo;
      return family === 'IPv6' ? `[${address}]:${bound}` : `${address}:${bound}`;
    },
    close: () => app.close(),
    closeIdle: () => app.server.closeIdleConnections(),
    closeAll: () => app.server.closeAllConnections(),
  };
}
