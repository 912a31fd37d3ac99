/**
 * Requests that a backend answers without a slot: what a model is, who a backend is to ollama.com, web search, and routes that
 * this gateway does not know, where it is told to pass those on. None of them ever waits behind inference.
 */
import { Type, type Static } from 'typebox';
import type { Ask, CallTimeouts } from '../backends/client.ts';
import type { CatalogueModel } from '../core/catalogue.ts';
import { GatewayError } from '../core/errors.ts';
import type { BackendState } from '../core/events.ts';
import type { BackendView } from '../core/fleet.ts';
import { isCloudModel } from '../core/model-name.ts';
import { Duration, Size } from '../core/options.ts';
import { isReachable } from '../core/placement.ts';
import type { BackendId, Millis } from '../core/types.ts';
import { askWhole, type Answered, type WholeAnswer } from './ask.ts';
import { ownHeaders, requestHeaders } from './headers.ts';
import { relayWhole, whereOf } from './manage.ts';
import { createShowCache, type ShowCache } from './show-cache.ts';
import { readVisit, sentTo, unanswered, UnknownModel, type Grounds, type Visit } from './visit.ts';

export const SurfaceOptions = Type.Object(
  {
    unknown: Type.Union([Type.Literal('refuse'), Type.Literal('forward')], {
      description:
        'What happens to paths under `/api/` and `/v1/` that the gateway does not know. `refuse`: 404, as an Ollama that does ' +
        'not know them answers. `forward`: they go to the first healthy backend, past queue, placement and every limit.',
      default: 'refuse',
    }),
    timeout: Duration({
      description: 'How long a backend may take to answer what is neither inference nor a pull, push or create.',
      default: '60s',
      minimum: '100ms',
    }),
    showCache: Size({
      description: 'Memory for answers of `/api/show`, which are kept until the model changes; 0 keeps none.',
      default: '32MiB',
      minimum: 0,
    }),
  },
  { additionalProperties: false, description: 'The parts of the API that are not inference.' },
);
export type SurfaceOptions = Static<typeof SurfaceOptions>;

export function quickTimeouts(connect: Millis, { timeout }: SurfaceOptions): CallTimeouts {
  return { connect, firstByte: timeout, idle: timeout, total: 0 };
}

/** Backends asked before a question is given up. */
const MOST_TRIES = 3;

/** Takes routes of kind `proxy`, but for those that sign a backend out. */
export function createProxy(grounds: Grounds, options: SurfaceOptions): (visit: Visit) => Promise<void> {
  const desk = new ProxyDesk(grounds, createShowCache(options.showCache));
  return (visit) => (visit.route.endpoint === 'show' ? desk.show(visit) : desk.first(visit));
}

class ProxyDesk {
  readonly #grounds: Grounds;
  readonly #cache: ShowCache;

  constructor(grounds: Grounds, cache: ShowCache) {
    this.#grounds = grounds;
    this.#cache = cache;
  }

  async show(visit: Visit): Promise<void> {
    const { body, reading } = await readVisit(visit, this.#grounds);
    const { model } = reading;
    const found = model === null ? null : this.#grounds.catalogue.find(model);
    if (found !== null) {
      await this.#showKnown(visit, body, found);
      return;
    }
    // Without a name every backend refuses it in Ollama's words; a cloud model is shown by any that is signed in.
    if (model !== null && !isCloudModel(model)) throw new UnknownModel(reading.modelText ?? '');
    await this.#ask(visit, body, inOrder(this.#grounds.view()), true);
  }

  async first(visit: Visit): Promise<void> {
    const { body } = await readVisit(visit, this.#grounds);
    const where = whereOf(visit, 'one');
    const fleet = this.#grounds.view();
    const candidates = where.kind === 'named' ? fleet.filter(({ id }) => where.names.includes(id)) : fleet;
    await this.#ask(visit, body, inOrder(candidates), isSafe(visit));
  }

  async #showKnown(visit: Visit, body: Buffer, { backends, digests, entry }: CatalogueModel): Promise<void> {
    const { digest } = entry;
    const cached = this.#cache.get(digest, body);
    if (cached !== null) {
      const own = ['X-Request-Id', visit.account.requestId, 'X-Llamero-Cache', 'hit'];
      relayWhole(visit, { kind: 'answer', status: 200, ...cached }, own);
      visit.exchange.end();
      return;
    }
    const sameModel = new Set(digests.get(digest));
    const holders = inOrder(this.#grounds.view()).filter(({ id }) => backends.includes(id));
    const candidates = [
      ...holders.filter(({ id }) => sameModel.has(id)),
      ...holders.filter(({ id }) => !sameModel.has(id)),
    ];
    const { backend, answer } = await this.#ask(visit, body, candidates, true);
    if (answer.status !== 200 || !sameModel.has(backend)) return;
    this.#cache.put(digest, body, { ...answer, headers: withoutDate(answer.headers) });
  }

  /** Asks one after the other until one answers, and passes that answer on. */
  async #ask(
    visit: Visit,
    body: Buffer,
    candidates: readonly BackendView[],
    mayTryNext: boolean,
  ): Promise<{ readonly backend: BackendId; readonly answer: WholeAnswer }> {
    const { account, exchange, route } = visit;
    const question: Ask = {
      method: route.method,
      path: route.path,
      headers: requestHeaders(exchange.headers, account.requestId, exchange.trace?.traceparent),
      body: body.length === 0 ? null : body,
      repeatable: mayTryNext,
      timeouts: this.#grounds.timeouts,
    };
    let last: { readonly backend: BackendId; readonly answered: Answered } | null = null;
    for (const { id } of candidates.slice(0, mayTryNext ? MOST_TRIES : 1)) {
      sentTo(account, [id]);
      last = { backend: id, answered: await askWhole(this.#grounds.client(id), question, exchange.left) };
      if (exchange.hasLeft || isAnswer(last.answered)) break;
    }
    if (last === null) throw new GatewayError('no-backend', 'no backend that could answer this is up');
    const { backend, answered } = last;
    if (answered.kind === 'failed') throw unanswered(backend, answered.failure);
    relayWhole(visit, answered, ownHeaders(account, { backend, reason: 'placement' }));
    exchange.end();
    return { backend, answer: answered };
  }
}

/** A model, or a route, that one backend does not have may be on the next; anything else that was answered is the answer. */
function isAnswer(answered: Answered): boolean {
  return answered.kind === 'answer' && answered.status !== 404;
}

/** A web search costs its sender something; the others can be asked twice. */
function isSafe({ route }: Visit): boolean {
  return route.endpoint !== 'web-search' && route.endpoint !== 'web-fetch';
}

/** The moment of an answer is that of its sending, not of its keeping. */
function withoutDate(headers: readonly string[]): readonly string[] {
  return headers.filter((_, index) => headers[index - (index % 2)] !== 'Date');
}

const RANK: Readonly<Record<BackendState, number>> = {
  up: 0,
  probation: 0,
  ejected: 1,
  draining: 1,
  unknown: 2,
  waking: 2,
  down: 2,
};

/** Those that can be asked: healthy ones first, each group in the configured order, so that an identity does not wander. */
export function inOrder(fleet: readonly BackendView[]): readonly BackendView[] {
  return fleet.filter(isReachable).sort((a, b) => RANK[a.state] - RANK[b.state]);
}
