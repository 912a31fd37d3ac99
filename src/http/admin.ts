/**
 * What an operator may do while the gateway runs, under `/gateway/` on the admin listener. Errors are RFC 9457 problems. Changes
 * need the admin token, or, without one, a listener that only this machine can reach.
 */
import { timingSafeEqual, createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BackendView } from '../core/fleet.ts';
import type { Aged } from '../core/routing/decisions.ts';
import type { BackendId } from '../core/types.ts';
import type { OwnRoute } from './server.ts';

export interface AdminDependencies {
  readonly backends: () => readonly BackendView[];
  readonly setDraining: (id: BackendId, draining: boolean) => void;
  /** Null when it was done, else what is wrong. */
  readonly add: (fields: Readonly<Record<string, unknown>>) => Promise<string | null>;
  readonly remove: (id: BackendId) => boolean;
  readonly change: (id: BackendId, change: { weight?: number; slots?: number | 'auto' }) => boolean;
  /** The last routing decisions, newest first; `at` as ms ago. */
  readonly decisions: () => readonly Aged[];
  /** Reads the configuration again. */
  readonly reload: () => Promise<ReloadResult>;
  /** Null when none is configured. */
  readonly token: string | null;
  /** Whether only this machine can reach the listener. */
  readonly isLoopback: boolean;
}

export interface ReloadResult {
  readonly ok: boolean;
  /** What was changed, or every problem. */
  readonly messages: readonly string[];
}

export function adminRoutes(dependencies: AdminDependencies): OwnRoute[] {
  const guarded =
    (answer: OwnRoute['answer']): OwnRoute['answer'] =>
    (request, reply) => {
      const refusal = refusalOf(request, dependencies);
      return refusal === null ? answer(request, reply) : problem(reply, refusal.status, refusal.detail);
    };
  const known = (id: string) => dependencies.backends().some((backend) => backend.id === id);
  const onBackend =
    (act: (id: string, request: FastifyRequest, reply: FastifyReply) => unknown): OwnRoute['answer'] =>
    (request, reply) => {
      const { id = '' } = request.params as { id?: string };
      return known(id) ? act(id, request, reply) : problem(reply, 404, `there is no backend \`${id}\``);
    };
  const drain = (draining: boolean) =>
    onBackend((id) => {
      dependencies.setDraining(id, draining);
      return shown(dependencies, id);
    });

  return [
    { method: 'GET', path: '/gateway/backends', answer: () => ({ backends: dependencies.backends().map(summary) }) },
    { method: 'GET', path: '/gateway/backends/:id', answer: onBackend((id) => shown(dependencies, id)) },
    {
      method: 'POST',
      path: '/gateway/backends',
      answer: guarded(async (request, reply) => add(request, reply, dependencies)),
    },
    {
      method: 'DELETE',
      path: '/gateway/backends/:id',
      answer: guarded(
        onBackend((id, _request, reply) => {
          dependencies.remove(id);
          return reply.code(204).send();
        }),
      ),
    },
    {
      method: 'PATCH',
      path: '/gateway/backends/:id',
      answer: guarded(onBackend((id, request, reply) => change(id, request, reply, dependencies))),
    },
    { method: 'POST', path: '/gateway/backends/:id/drain', answer: guarded(drain(true)) },
    { method: 'POST', path: '/gateway/backends/:id/resume', answer: guarded(drain(false)) },
    { method: 'GET', path: '/gateway/decisions', answer: (request) => ({ decisions: asked(request, dependencies) }) },
    {
      method: 'POST',
      path: '/gateway/reload',
      answer: guarded(async (_request, reply) => {
        const result = await dependencies.reload();
        return result.ok
          ? { reloaded: true, changes: result.messages }
          : problem(reply, 422, result.messages.join('\n'));
      }),
    },
  ];
}

/** `?job=ID` keeps those about one request, `?model=NAME` about one model, `?limit=N` the newest N (50). */
function asked(request: FastifyRequest, { decisions }: AdminDependencies): readonly Aged[] {
  const { job, limit, model } = request.query as Record<string, string | undefined>;
  const wanted = decisions().filter(
    (decision) =>
      (job === undefined || ('job' in decision && decision.job === job)) &&
      (model === undefined || decision.model === model),
  );
  return wanted.slice(0, Math.max(1, Number(limit) || 50));
}

async function add(request: FastifyRequest, reply: FastifyReply, dependencies: AdminDependencies): Promise<unknown> {
  const { body } = request;
  if (!isObject(body))
    return problem(
      reply,
      400,
      'the body must be a JSON object with the fields of a backend: url, name, weight, slots, models',
    );
  const wrong = await dependencies.add(body);
  if (wrong !== null) return problem(reply, 422, wrong);
  return reply.code(201).send({ backends: dependencies.backends().map(summary) });
}

function change(id: string, request: FastifyRequest, reply: FastifyReply, dependencies: AdminDependencies): unknown {
  const { body } = request;
  if (!isObject(body)) return problem(reply, 400, 'the body must be a JSON object with `weight` or `slots`');
  const { weight, slots, ...unknown } = body;
  const strange = Object.keys(unknown);
  if (strange.length > 0)
    return problem(reply, 400, `unknown field \`${strange[0]}\`; \`weight\` and \`slots\` can be changed`);
  if (weight !== undefined && !(typeof weight === 'number' && weight > 0 && weight <= 1000)) {
    return problem(reply, 400, '`weight` must be a number above 0, at most 1000');
  }
  if (
    slots !== undefined &&
    slots !== 'auto' &&
    !(typeof slots === 'number' && Number.isInteger(slots) && slots >= 1)
  ) {
    return problem(reply, 400, '`slots` must be a whole number from 1, or `auto`');
  }
  dependencies.change(id, {
    ...(typeof weight === 'number' && { weight }),
    ...((slots === 'auto' || typeof slots === 'number') && { slots }),
  });
  return shown(dependencies, id);
}

/** A page of a browser on this machine must not be able to act: it can't send our content type without asking first. */
function refusalOf(
  request: FastifyRequest,
  { token, isLoopback }: AdminDependencies,
): { status: number; detail: string } | null {
  const { authorization, origin, host = '' } = request.headers;
  if (token !== null) {
    const given = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1] ?? '';
    return sameSecret(given, token)
      ? null
      : { status: 401, detail: 'send the admin token as `Authorization: Bearer …`' };
  }
  if (!isLoopback)
    return { status: 403, detail: 'set `admin.token`: this listener can be reached from other machines' };
  if (!/^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/.test(host))
    return { status: 403, detail: 'use the address 127.0.0.1 or localhost' };
  if (origin !== undefined && origin !== `http://${host}`)
    return { status: 403, detail: 'requests from other sites are refused' };
  return null;
}

function sameSecret(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

function problem(reply: FastifyReply, status: number, detail: string): unknown {
  const title = {
    400: 'Bad Request',
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'Not Found',
    422: 'Unprocessable Content',
  }[status];
  return reply
    .code(status)
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', title, status, detail }));
}

function shown({ backends }: AdminDependencies, id: string): unknown {
  const view = backends().find((backend) => backend.id === id);
  return view === undefined ? {} : summary(view);
}

function summary({
  id,
  spec,
  state,
  reason,
  version,
  slots,
  inFlight,
  installed,
  resident,
  breaker,
  lastError,
}: BackendView): unknown {
  return {
    name: id,
    url: spec.url,
    state,
    reason,
    version,
    weight: spec.weight,
    slots,
    in_flight: inFlight,
    models: installed?.map(({ name }) => name) ?? null,
    resident:
      resident?.map(({ name, vramBytes, expiresAt }) => ({ name, vram_bytes: vramBytes, expires_at: expiresAt })) ??
      null,
    breaker,
    last_error: lastError,
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
