/** The endpoints as routes of the admin listener: guarded, checked, answered. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { Emit } from '../../core/events.ts';
import type { Page } from '../page/page.ts';
import type { OwnRoute } from '../server.ts';
import { endpoints, type Endpoint, type EndpointName, type Handlers } from './endpoints.ts';
import type { Feed } from './feed.ts';
import type { Guard } from './guard.ts';
import { answerProblem, Problem } from './problem.ts';

export interface RoutesDependencies {
  readonly guard: Guard;
  readonly handlers: Handlers;
  readonly feed: Feed;
  readonly emit: Emit;
  readonly page: Page;
}

type Handler = (asked: { params: unknown; query: unknown; body: unknown }) => unknown;

export function adminRoutes({ emit, feed, guard, handlers, page }: RoutesDependencies): OwnRoute[] {
  const special: Readonly<Partial<Record<EndpointName, OwnRoute['answer']>>> = {
    watch: (_request, reply) => watch(feed, reply),
    getPage: (request, reply) => page.answer(request, reply),
  };
  const byName = handlers as unknown as Readonly<Record<string, Handler>>;
  return Object.entries<Endpoint>(endpoints).map(([name, endpoint]) => {
    const answer = special[name as EndpointName] ?? usual(endpoint, byName[name]!);
    const tell = (request: FastifyRequest, outcome: string) => {
      if (endpoint.access !== 'change') return;
      const [target = null] = Object.values(request.params as Record<string, string>);
      emit({ kind: 'operated', what: `${endpoint.method} ${endpoint.path}`, target, outcome, address: request.ip });
    };
    return {
      method: endpoint.method,
      path: endpoint.path.replace(/(.)\/$/, '$1'),
      answer: async (request, reply) => {
        try {
          guard(endpoint.access, request.headers);
          const answered = await answer(request, reply);
          tell(request, 'ok');
          return answered;
        } catch (error) {
          tell(request, error instanceof Problem ? String(error.status) : 'bug');
          if (error instanceof Problem) return answerProblem(reply, error);
          emit({ kind: 'bug', message: String(error), stack: (error as Error).stack });
          return answerProblem(reply, new Problem(500, 'the gateway made a mistake; its log has the details'));
        }
      },
    };
  });
}

function usual({ answer, body, status = 200 }: Endpoint, handle: Handler): OwnRoute['answer'] {
  return async (request: FastifyRequest, reply: FastifyReply) => {
    if (body !== undefined) checkBody(body, request.body);
    const query = plainQuery(request.query);
    const answered = await handle({ params: request.params, query, body: request.body });
    if (answer === null) return reply.code(status).send();
    return reply.code(status).header('cache-control', 'no-store').send(answered);
  };
}

function checkBody(schema: TSchema, body: unknown): void {
  if (Value.Check(schema, body)) return;
  const [first] = Value.Errors(schema, body);
  const where = first?.instancePath.replace(/^\//, '').replaceAll('/', '.') ?? '';
  const names = Object.keys((schema as { properties?: object }).properties ?? {}).map((name) => `\`${name}\``);
  const what = typeof body !== 'object' || body === null ? 'the body must be a JSON object' : wrongIn(first, where);
  throw new Problem(400, `${what}; it has ${names.join(', ')}`);
}

function wrongIn(error: { readonly message: string } | undefined, where: string): string {
  const message = error?.message ?? 'is not what it should be';
  return where === '' ? `the body ${message}` : `\`${where}\` ${message}`;
}

/** Of a field that is given twice, the last counts. */
function plainQuery(query: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(query as Record<string, string | string[]>).map(([name, value]) => [
      name,
      Array.isArray(value) ? (value.at(-1) ?? '') : value,
    ]),
  );
}

function watch(feed: Feed, reply: FastifyReply): unknown {
  const { raw } = reply;
  const head = {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
    'X-Content-Type-Options': 'nosniff',
  };
  const sink = {
    write(text: string) {
      if (!raw.headersSent) raw.writeHead(200, head);
      return raw.write(text);
    },
    get writableLength() {
      return raw.writableLength;
    },
    destroy: () => void raw.destroy(),
  };
  const stop = feed.watch(sink);
  if (stop === null) throw new Problem(503, 'too many are watching already');
  raw.once('close', stop);
  reply.hijack();
  return reply;
}
