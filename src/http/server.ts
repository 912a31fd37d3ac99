/**
 * The two listeners. Fastify routes and runs the hooks; every proxied route is then taken over (`reply.hijack`) and travels as an
 * Exchange. Bodies are never parsed by content type: Ollama ignores it, and so do we.
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Dialect, Route } from '../dialects/dialect.ts';
import { answerProblem, Problem } from './admin/problem.ts';
import { preflightHeaders, withOrigin, type Admission, type Door } from './door.ts';
import { withoutPathKey } from './credential.ts';
import type { Entrance } from './entrance.ts';
import { limitRequests } from './request-limits.ts';
import { Bag } from '../core/bag.ts';
import { asListener, type Listener } from './listener.ts';
import { NodeExchange, type Exchange, type FlowLimits } from './exchange.ts';
import { hasUnreadBody } from './headers.ts';
import { createNodeServer, type NodeServerOptions } from './node-server.ts';

export type Serve = (exchange: Exchange, route: Route, dialect: Dialect, parameter: string | null) => void;

/** Takes a request for a path that no route has, or says false. */
export type ServeUnknown = (exchange: Exchange, path: string, query: string) => boolean;

export interface PublicHandlers {
  readonly serve: Serve;
  readonly serveUnknown: ServeUnknown;
  readonly entrance: Entrance;
  readonly door: Door;
}

/** A path answered by the gateway itself, on either listener. */
export interface OwnRoute {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'DELETE' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly answer: (request: FastifyRequest, reply: FastifyReply) => unknown;
}

export interface ListenerOptions extends NodeServerOptions {
  readonly flow: FlowLimits;
}

const methodNotAllowed = '405 method not allowed';
const pageNotFound = '404 page not found';

export function createPublicListener(
  dialects: readonly Dialect[],
  own: readonly OwnRoute[],
  { door, entrance, serve, serveUnknown }: PublicHandlers,
  options: ListenerOptions,
): Listener {
  const app = createApp(options);
  const bound: Bound = { isLoopback: false };
  const open = new Bag<NodeExchange>();
  const methods = new Methods();
  const count = limitRequests(app);
  const admit = (request: FastifyRequest) => door.admit(request.headers, bound.isLoopback);
  const takeOver = (request: FastifyRequest, reply: FastifyReply, admission: Admission) => {
    const exchange = new NodeExchange(request.raw, reply.raw, options.flow, originOf(admission));
    open.add(exchange);
    reply.raw.once('close', () => open.delete(exchange));
    return exchange;
  };
  for (const dialect of dialects) {
    for (const route of dialect.routes) {
      methods.note(route.path, route.method);
      const onRequest = (request: FastifyRequest, reply: FastifyReply) => {
        reply.hijack();
        const admission = admit(request);
        if (admission.kind === 'refused') {
          refuseAtDoor(reply);
          return;
        }
        const exchange = takeOver(request, reply, admission);
        const params = request.params as Record<string, string>;
        const parameter = Object.values(params)[0] ?? null;
        const entered = entrance.enter(exchange, route, count);
        if (entered === true) serve(exchange, route, dialect, parameter);
        else if (entered !== false) void entered.then((isIn) => isIn && serve(exchange, route, dialect, parameter));
      };
      // In the route's own onRequest, the last one: hooks before it may refuse; after it there is no body parser to disagree.
      app.route({ method: route.method, url: route.path, exposeHeadRoute: false, onRequest, handler: unreachable });
    }
  }
  addOwn(app, own, methods);
  answerOthers(app, (request, reply) => {
    const admission = admit(request);
    const path = methods.plainPath(request.url);
    const allowed = methods.of(path);
    const method = request.raw.method ?? 'GET';
    if (admission.kind === 'refused') refuseAtDoor(reply);
    else if (admission.kind === 'allowed' && method === 'OPTIONS') {
      writeHead(reply, 204, preflightHeaders(admission.allowOrigin, allowed));
      reply.raw.end();
    } else if (allowed !== null || !isApiPath(path)) refuse(allowed, reply, originOf(admission));
    else {
      const exchange = takeOver(request, reply, admission);
      const onward = (isIn: boolean) => {
        const query = request.url.split('?')[1] ?? '';
        if (isIn && !serveUnknown(exchange, path, query)) refuse(null, reply, originOf(admission));
      };
      const entered = entrance.enter(exchange, path, count);
      if (typeof entered === 'boolean') onward(entered);
      else void entered.then(onward);
    }
  });
  return asListener(
    app,
    open,
    ({ address }) => {
      bound.isLoopback = isLoopbackAddress(address);
      entrance.bound(bound.isLoopback);
    },
    options.tls,
  );
}

/** `door`: which pages and names may reach it; a page of anybody else's must neither look nor act. */
export function createAdminListener(own: readonly OwnRoute[], door: Door, options: ListenerOptions): Listener {
  const app = createApp(options);
  const bound: Bound = { isLoopback: false };
  const methods = new Methods();
  app.addHook('onRequest', async (request, reply) => {
    if (door.admit(request.headers, bound.isLoopback).kind !== 'refused') return;
    await answerProblem(reply, new Problem(403, 'this address, or requests from other sites, are refused'));
  });
  app.setErrorHandler((error, _request, reply) => {
    const { statusCode = 500, message } = error as { statusCode?: number; message: string };
    return answerProblem(reply, new Problem(statusCode, message));
  });
  addOwn(app, own, methods);
  answerOthers(app, (request, reply) => refuse(methods.of(methods.plainPath(request.url)), reply, null));
  return asListener(app, [], ({ address }) => {
    bound.isLoopback = isLoopbackAddress(address);
  });
}

function isLoopbackAddress(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

/** What is known once the address is. */
interface Bound {
  isLoopback: boolean;
}

function originOf(admission: Admission): string | null {
  return admission.kind === 'allowed' ? admission.allowOrigin : null;
}

function isApiPath(path: string): boolean {
  return /^\/(?:api|v1)\//.test(path);
}

function createApp(options: NodeServerOptions): FastifyInstance {
  return fastify({
    logger: false,
    serverFactory: (handle) => createNodeServer(handle, options),
    rewriteUrl: withoutPathKey,
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
}

function unreachable(): never {
  throw new Error('the route was taken over before its handler');
}

function addOwn(app: FastifyInstance, own: readonly OwnRoute[], methods: Methods): void {
  for (const { method, path, answer } of own) {
    methods.note(path, method);
    app.route({ method, url: path, exposeHeadRoute: false, handler: async (request, reply) => answer(request, reply) });
  }
}

function answerOthers(app: FastifyInstance, answer: (request: FastifyRequest, reply: FastifyReply) => void): void {
  // In onRequest, because a body of any type must not be looked at before the refusal.
  app.addHook('onRequest', (request, reply, done) => {
    if (!request.is404) {
      done();
      return;
    }
    reply.hijack();
    answer(request, reply);
  });
  app.setNotFoundHandler(unreachable);
}

/** Ollama's own words for what it does not serve: plain text in all dialects (ollama-wire §1). */
function refuse(allowed: string | null, reply: FastifyReply, allowOrigin: string | null): void {
  const text = allowed === null ? pageNotFound : methodNotAllowed;
  const headers = allowed === null ? [] : ['Allow', allowed];
  headers.push('Content-Type', 'text/plain');
  const all = [...withOrigin(headers, allowOrigin), 'Content-Length', String(text.length)];
  if (hasUnreadBody(reply.request.raw)) all.push('Connection', 'close');
  writeHead(reply, allowed === null ? 404 : 405, all);
  reply.raw.end(reply.request.raw.method === 'HEAD' ? undefined : text);
}

/** A Host or an Origin that Ollama would not speak to. */
function refuseAtDoor(reply: FastifyReply): void {
  const close = hasUnreadBody(reply.request.raw) ? ['Connection', 'close'] : [];
  writeHead(reply, 403, ['Content-Length', '0', ...close]);
  reply.raw.end();
}

/** Ollama sends no Connection or Keep-Alive field; HTTP/1.1 connections stay open without them. */
function writeHead({ raw }: FastifyReply, status: number, headers: string[]): void {
  if (raw.shouldKeepAlive && raw.req.httpVersionMinor >= 1 && !raw.hasHeader('connection')) {
    raw.removeHeader('connection');
  }
  raw.writeHead(status, headers);
}

/** Which methods each path is served with. */
class Methods {
  readonly #byTemplate = new Map<string, Set<string>>();

  note(template: string, method: string): void {
    const known = this.#byTemplate.get(template);
    if (known === undefined) this.#byTemplate.set(template, new Set([method]));
    else known.add(method);
  }

  /** The path of a request target, as the router reads it. */
  plainPath(target: string): string {
    return (target.split('?', 1)[0] ?? '').replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
  }

  /** As an `Allow` field; null when no route has the path. */
  of(path: string): string | null {
    const asked = path.split('/');
    for (const [template, allowed] of this.#byTemplate) {
      const parts = template.split('/');
      const isIt =
        parts.length === asked.length &&
        parts.every((part, i) => (part.startsWith(':') ? asked[i] !== '' : part === asked[i]));
      if (isIt) return [...allowed].sort().join(', ');
    }
    return null;
  }
}
