/** What each endpoint of the admin API does. */
import type { UsageRow } from '../../core/ledger.ts';
import { showUsage } from './usage.ts';
import { GatewayError } from '../../core/errors.ts';
import type { BackendId } from '../../core/types.ts';
import type { Exchange } from '../exchange.ts';
import type { Handlers } from './endpoints.ts';
import type { ModelWork } from './model-work.ts';
import { openApiDocument } from './openapi.ts';
import { Problem } from './problem.ts';
import type { Backend, Decision, LogLevel } from './shapes.ts';
import type { Views } from './views.ts';

export interface ReloadResult {
  readonly ok: boolean;
  /** What was changed, or every problem. */
  readonly messages: readonly string[];
}

/** What an operator can have done. */
export interface Controls {
  readonly setDraining: (id: BackendId, draining: boolean) => void;
  /** Null when it was done, else what is wrong. */
  readonly add: (fields: Readonly<Record<string, unknown>>) => Promise<string | null>;
  readonly remove: (id: BackendId) => boolean;
  readonly change: (id: BackendId, change: { weight?: number; slots?: number | 'auto' }) => boolean;
  /** Reads the configuration again. */
  readonly reload: () => Promise<ReloadResult>;
  /** Every option as it counts now, without secrets. */
  readonly config: () => Record<string, unknown>;
  readonly logLevel: { get(): LogLevel['level']; set(level: LogLevel['level']): void };
  /** Who used what, of that day and later. */
  readonly usage: (since?: string) => readonly UsageRow[];
  /** The last routing decisions, newest first. */
  readonly decisions: () => readonly Decision[];
  /** Refuses a request that waits. False when none of this id does. */
  readonly dismiss: (requestId: string, error: GatewayError) => boolean;
  readonly exchanges: () => Iterable<Pick<Exchange, 'account' | 'onStop'>>;
}

export interface HandlersDependencies {
  readonly views: Views;
  readonly controls: Controls;
  readonly work: ModelWork;
  readonly version: string;
}

export function createHandlers({ controls, version, views, work }: HandlersDependencies): Handlers {
  const backend = (id: string | undefined): Backend => {
    const found = views.backends().find(({ name }) => name === id);
    if (found === undefined) throw new Problem(404, `there is no backend \`${id}\``);
    return found;
  };
  const list = () => ({ backends: [...views.backends()] });

  return {
    getFleet: () => views.fleet(),
    listBackends: list,
    getBackend: ({ params }) => backend(params['id']),
    async addBackend({ body }) {
      const wrong = await controls.add(body);
      if (wrong !== null) throw new Problem(422, wrong);
      return list();
    },
    changeBackend({ body, params }) {
      const { name } = backend(params['id']);
      controls.change(name, body);
      return backend(name);
    },
    removeBackend({ params }) {
      controls.remove(backend(params['id']).name);
    },
    drainBackend: ({ params }) => drain(params['id'], true),
    resumeBackend: ({ params }) => drain(params['id'], false),
    async loadModel({ body, params }) {
      const { name } = backend(params['id']);
      await work.load(name, body.model, body.keep_alive);
      return backend(name);
    },
    async unloadModel({ body, params }) {
      const { name } = backend(params['id']);
      await work.unload(name, body.model);
      return backend(name);
    },
    pullModel: ({ body, params }) => work.pull(backend(params['id']).name, body.model),
    async deleteModel({ params }) {
      await work.remove(backend(params['id']).name, params['model']!);
    },
    listPulls: () => ({ pulls: [...views.pulls()] }),
    cancelPull({ params }) {
      if (!work.cancel(params['id']!)) throw new Problem(404, 'there is no such pull');
    },
    listModels: () => ({ models: [...views.models()] }),
    getQueue: () => views.queue(),
    ...requestHandlers({ controls, views }),
    getUsage: ({ query }) => ({ usage: showUsage(controls.usage, query) }),
    getConfig: () => ({ config: controls.config() }),
    async reload() {
      const { messages, ok } = await controls.reload();
      if (!ok) throw new Problem(422, messages.join('\n'));
      return { reloaded: true, changes: [...messages] };
    },
    getLogLevel: () => ({ level: controls.logLevel.get() }),
    setLogLevel({ body }) {
      controls.logLevel.set(body.level);
      return { level: controls.logLevel.get() };
    },
    getOpenApi: () => openApiDocument(version),
  };

  function drain(id: string | undefined, draining: boolean): Backend {
    const { name } = backend(id);
    controls.setDraining(name, draining);
    return backend(name);
  }
}

type AboutRequests = 'listRequests' | 'getRequest' | 'cancelRequest' | 'listHistory' | 'listDecisions';

function requestHandlers({
  controls,
  views,
}: Pick<HandlersDependencies, 'controls' | 'views'>): Pick<Handlers, AboutRequests> {
  const about = (id: string) => controls.decisions().filter((decision) => 'job' in decision && decision.job === id);

  return {
    listRequests: () => ({ requests: [...views.active()] }),
    getRequest({ params }) {
      const id = params['id']!;
      const active = views.active().find((request) => request.id === id) ?? null;
      const finished = views.history.find(id);
      if (active === null && finished === null) throw new Problem(404, 'no such request is in flight or remembered');
      return { active, finished, decisions: about(id) };
    },
    cancelRequest({ params }) {
      const id = params['id']!;
      const error = new GatewayError('cancelled', 'the request was ended by an operator');
      const found = [...controls.exchanges()].filter(({ account }) => account?.requestId === id);
      if (found.length === 0) throw new Problem(404, 'no such request is in flight');
      const hasWaited = controls.dismiss(id, error);
      const ending = found.filter(({ onStop }) => onStop !== null);
      for (const exchange of ending) exchange.onStop?.(error);
      if (!hasWaited && ending.length === 0)
        throw new Problem(409, 'it is being received, or between two backends; try again');
    },
    listHistory({ query }) {
      const { backend, client, limit, model, outcome } = query;
      const wanted = views.history
        .list()
        .filter(
          (request) =>
            (model === undefined || request.model === model) &&
            (backend === undefined || request.backend === backend) &&
            (client === undefined || request.client === client) &&
            (outcome === undefined || request.outcome === outcome),
        );
      return { requests: wanted.slice(0, atMost(limit)) };
    },
    listDecisions({ query }) {
      const { job, limit, model } = query;
      const wanted = (job === undefined ? controls.decisions() : about(job)).filter(
        (decision) => model === undefined || decision.model === model,
      );
      return { decisions: wanted.slice(0, atMost(limit)) };
    },
  };
}

function atMost(limit: string | undefined): number {
  return Math.max(1, Number(limit) || 50);
}
