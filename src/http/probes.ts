/** The gateway's answers about itself to machines: alive, ready, metrics. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { OwnRoute } from './server.ts';

export interface ProbeDependencies {
  /** Null when ready, else the reason in one sentence. */
  readonly notReady: () => string | null;
  /** One line per backend: its name, state and why. */
  readonly backends: () => readonly { readonly id: string; readonly state: string; readonly detail: string }[];
  /** `accept` is the scraper's. */
  readonly metrics: (accept: string) => Promise<{ readonly contentType: string; readonly body: string }>;
}

export function probeRoutes(dependencies: ProbeDependencies): OwnRoute[] {
  const live = (_: FastifyRequest, reply: FastifyReply) => reply.type('text/plain').send('ok\n');
  const ready = (request: FastifyRequest, reply: FastifyReply) => {
    const reason = dependencies.notReady();
    const verbose = (request.query as Record<string, unknown>)['verbose'] !== undefined;
    const lines = verbose
      ? dependencies.backends().map(({ id, state, detail }) => `${id}: ${state}${detail === '' ? '' : ` (${detail})`}`)
      : [];
    if (reason !== null) reply.code(503).header('retry-after', '1');
    return reply.type('text/plain').send([reason ?? 'ready', ...lines, ''].join('\n'));
  };
  const metrics = async (request: FastifyRequest, reply: FastifyReply) => {
    const { contentType, body } = await dependencies.metrics(request.headers.accept ?? '');
    return reply.header('content-type', contentType).send(body);
  };
  return [
    { method: 'GET', path: '/livez', answer: live },
    { method: 'GET', path: '/healthz', answer: live },
    { method: 'GET', path: '/readyz', answer: ready },
    { method: 'GET', path: '/metrics', answer: metrics },
  ];
}
