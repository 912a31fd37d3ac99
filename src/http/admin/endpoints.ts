/** Every path of the admin API: how it is asked, who may, and what it answers. Routes, documentation and tests follow from this list. */
import { Type, type Static, type TObject, type TSchema } from 'typebox';
import * as shapes from './shapes.ts';

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:name` for what varies. */
  readonly path: string;
  /** One line of the documentation. */
  readonly summary: string;
  /** `open`: anybody who reaches the listener. `read`: looking. `change`: needs the operator's credential. */
  readonly access: 'open' | 'read' | 'change';
  /** An object of optional texts. */
  readonly query?: TObject;
  readonly body?: TSchema;
  /** The body of a good answer: a schema, a media type that is no JSON, or null for none. */
  readonly answer: TSchema | string | null;
  /** Of a good answer; 200 when absent. */
  readonly status?: number;
  /** Further statuses of problems, beside those that follow from the rest. */
  readonly problems?: readonly number[];
}

const text = (description: string) => Type.Optional(Type.String({ description }));
const limit = text('How many at most.');

export const endpoints = {
  getFleet: {
    method: 'GET',
    path: '/gateway/fleet',
    summary: 'The whole fleet at one moment.',
    access: 'read',
    answer: shapes.Fleet,
  },
  listBackends: {
    method: 'GET',
    path: '/gateway/backends',
    summary: 'All backends.',
    access: 'read',
    answer: shapes.Backends,
  },
  getBackend: {
    method: 'GET',
    path: '/gateway/backends/:id',
    summary: 'One backend.',
    access: 'read',
    answer: shapes.Backend,
  },
  addBackend: {
    method: 'POST',
    path: '/gateway/backends',
    summary: 'Adds a backend, until the next reload.',
    access: 'change',
    body: shapes.NewBackend,
    answer: shapes.Backends,
    status: 201,
    problems: [422],
  },
  changeBackend: {
    method: 'PATCH',
    path: '/gateway/backends/:id',
    summary: 'Changes its weight or its slots, until the next reload.',
    access: 'change',
    body: shapes.Change,
    answer: shapes.Backend,
  },
  removeBackend: {
    method: 'DELETE',
    path: '/gateway/backends/:id',
    summary: 'Removes a backend; requests under way finish.',
    access: 'change',
    answer: null,
    status: 204,
  },
  drainBackend: {
    method: 'POST',
    path: '/gateway/backends/:id/drain',
    summary: 'Sends it no more requests; those under way finish.',
    access: 'change',
    answer: shapes.Backend,
  },
  resumeBackend: {
    method: 'POST',
    path: '/gateway/backends/:id/resume',
    summary: 'Ends draining.',
    access: 'change',
    answer: shapes.Backend,
  },
  loadModel: {
    method: 'POST',
    path: '/gateway/backends/:id/load',
    summary: 'Loads a model into its memory; answers when it is there.',
    access: 'change',
    body: shapes.LoadModel,
    answer: shapes.Backend,
    problems: [502, 504],
  },
  unloadModel: {
    method: 'POST',
    path: '/gateway/backends/:id/unload',
    summary: 'Takes a model out of its memory.',
    access: 'change',
    body: shapes.ModelName,
    answer: shapes.Backend,
    problems: [502, 504],
  },
  pullModel: {
    method: 'POST',
    path: '/gateway/backends/:id/pull',
    summary: 'Begins to pull a model there. The answer does not wait for the end: see `/gateway/pulls`.',
    access: 'change',
    body: shapes.ModelName,
    answer: shapes.Pull,
    status: 202,
  },
  deleteModel: {
    method: 'DELETE',
    path: '/gateway/backends/:id/models/:model',
    summary: 'Deletes a model from its disk. The name is percent-encoded.',
    access: 'change',
    answer: null,
    status: 204,
    problems: [502, 504],
  },
  listPulls: {
    method: 'GET',
    path: '/gateway/pulls',
    summary: 'The pulls that operators have started: those that run, and the last that ended.',
    access: 'read',
    answer: shapes.Pulls,
  },
  cancelPull: {
    method: 'DELETE',
    path: '/gateway/pulls/:id',
    summary: 'Stops a pull; the backend keeps what has come.',
    access: 'change',
    answer: null,
    status: 204,
  },
  listModels: {
    method: 'GET',
    path: '/gateway/models',
    summary: 'Every model and how it stands on every backend.',
    access: 'read',
    answer: shapes.Models,
  },
  getQueue: {
    method: 'GET',
    path: '/gateway/queue',
    summary: 'Who waits, by model and client.',
    access: 'read',
    answer: shapes.Queue,
  },
  listRequests: {
    method: 'GET',
    path: '/gateway/requests',
    summary: 'Requests in flight.',
    access: 'read',
    answer: shapes.ActiveRequests,
  },
  getRequest: {
    method: 'GET',
    path: '/gateway/requests/:id',
    summary: 'One request, in flight or among the last, with the decisions about it.',
    access: 'read',
    answer: shapes.RequestDetail,
  },
  cancelRequest: {
    method: 'DELETE',
    path: '/gateway/requests/:id',
    summary: 'Ends a request; its client gets an error in the words of its API.',
    access: 'change',
    answer: null,
    status: 204,
    problems: [409],
  },
  listHistory: {
    method: 'GET',
    path: '/gateway/history',
    summary: 'The last requests that ended, newest first.',
    access: 'read',
    query: Type.Object({
      limit,
      model: text('Only those for this model.'),
      backend: text('Only those this backend answered.'),
      client: text('Only those of this client.'),
      outcome: text('Only those that ended so.'),
    }),
    answer: shapes.FinishedRequests,
  },
  listDecisions: {
    method: 'GET',
    path: '/gateway/decisions',
    summary: 'The last routing decisions, newest first.',
    access: 'read',
    query: Type.Object({
      limit,
      job: text('Only those about this request.'),
      model: text('Only those about this model.'),
    }),
    answer: shapes.Decisions,
  },
  getUsage: {
    method: 'GET',
    path: '/gateway/usage',
    summary: 'Who has used how many tokens of which model.',
    access: 'read',
    query: Type.Object({
      since: text('The first day, `2026-11-25`; all that are kept without it.'),
      by: text('`client`, `model` or `day`: one sum for each. Without it, one for each of the three together.'),
    }),
    answer: shapes.Usage,
  },
  getConfig: {
    method: 'GET',
    path: '/gateway/config',
    summary: 'The configuration as it counts now, without secrets.',
    access: 'read',
    answer: shapes.EffectiveConfig,
  },
  reload: {
    method: 'POST',
    path: '/gateway/reload',
    summary:
      'Reads the configuration again. It is the newer word: what was changed by hand before it no longer counts.',
    access: 'change',
    answer: shapes.Reloaded,
    problems: [422],
  },
  getLogLevel: {
    method: 'GET',
    path: '/gateway/log',
    summary: 'How much is logged.',
    access: 'read',
    answer: shapes.LogLevel,
  },
  setLogLevel: {
    method: 'PUT',
    path: '/gateway/log',
    summary: 'Changes that, until the next reload.',
    access: 'change',
    body: shapes.LogLevel,
    answer: shapes.LogLevel,
  },
  watch: {
    method: 'GET',
    path: '/gateway/events',
    summary: 'Server-sent events: a `snapshot`, then a `delta` at most twice a second.',
    access: 'read',
    answer: 'text/event-stream',
    problems: [503],
  },
  getPage: {
    method: 'GET',
    path: '/gateway/',
    summary: 'The page for people.',
    access: 'open',
    answer: 'text/html',
  },
  getOpenApi: {
    method: 'GET',
    path: '/gateway/openapi.json',
    summary: 'This description.',
    access: 'open',
    answer: Type.Record(Type.String(), Type.Unknown(), { description: 'An OpenAPI 3.1 document.' }),
  },
} as const satisfies Record<string, Endpoint>;

type Endpoints = typeof endpoints;
export type EndpointName = keyof Endpoints;

type BodyOf<E> = E extends { readonly body: infer B extends TSchema } ? Static<B> : undefined;
type QueryOf<E> = E extends { readonly query: infer Q extends TSchema } ? Static<Q> : Readonly<Record<string, never>>;
export type AnswerOf<E> = E extends { readonly answer: infer A }
  ? A extends TSchema
    ? Static<A>
    : A extends null
      ? void
      : unknown
  : never;

/** What a handler is given: already checked. */
export interface Asked<E> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: QueryOf<E>;
  readonly body: BodyOf<E>;
}

/** One handler an endpoint, each held to what the list says it answers. */
export type Handlers = {
  readonly [N in EndpointName as Endpoints[N]['answer'] extends string ? never : N]: (
    asked: Asked<Endpoints[N]>,
  ) => AnswerOf<Endpoints[N]> | Promise<AnswerOf<Endpoints[N]>>;
};
