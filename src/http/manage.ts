/**
 * Requests that change what models there are: pull, push, create, copy, delete, uploads, and signing out. Each goes where its
 * placement says, and its last byte waits until the catalogue knows what has changed.
 */
import type { Ask } from '../backends/client.ts';
import { GatewayError } from '../core/errors.ts';
import { canonicalModelName } from '../core/model-name.ts';
import {
  parseWhere,
  place,
  type Errand,
  type LeftOut,
  type Operation,
  type PlacementOptions,
  type Where,
} from '../core/placement.ts';
import type { BackendId, NonEmpty } from '../core/types.ts';
import type { Reading } from '../dialects/dialect.ts';
import { askWhole, errorTextOf, isGood, type Answered, type WholeAnswer } from './ask.ts';
import type { Blobs } from './blobs.ts';
import { ownHeaders, requestHeaders } from './headers.ts';
import { mergeProgress } from './merge-progress.ts';
import { passProgress } from './pass-progress.ts';
import { readVisit, sentTo, unanswered, UnknownModel, within, type Grounds, type Visit } from './visit.ts';

export interface ManageDependencies {
  readonly grounds: Grounds;
  readonly blobs: Blobs;
}

/** How long the end of an answer waits for the catalogue. */
const REFRESH_MS = 2000;

const operations: Readonly<Record<string, Operation>> = {
  pull: 'pull',
  push: 'push',
  create: 'create',
  copy: 'copy',
  delete: 'delete',
  signout: 'signout',
  'user-key': 'signout',
};

/** Answers that do not speak against a backend when another one has done it: the model, or the identity, was not there. */
const nothingToDo: Readonly<Partial<Record<Operation, number>>> = { copy: 404, delete: 404, signout: 401 };

/** What the header of a request says, or else the configuration. Throws `bad-request` when the header says nothing sensible. */
export function whereOf({ exchange }: Pick<Visit, 'exchange'>, configured: string): Where {
  const header = exchange.headers['x-llamero-placement'];
  const where = parseWhere(typeof header === 'string' ? header : configured);
  if (where !== null) return where;
  throw new GatewayError('bad-request', 'x-llamero-placement is `all`, `one`, `owner`, or names of backends');
}

/** Takes routes of kind `manage`, and those that sign a backend out. */
export function createManage(
  dependencies: ManageDependencies,
  options: PlacementOptions,
): (visit: Visit) => Promise<void> {
  const { blobs, grounds } = dependencies;
  return async (visit) => {
    if (visit.route.endpoint === 'blob') {
      await blobs.answer(visit, whereOf(visit, options.create));
      return;
    }
    const operation = operations[visit.route.endpoint];
    if (operation === undefined) throw new Error(`no operation for endpoint ${visit.route.endpoint}`);
    const where = whereOf(visit, options[operation]);
    const { body, reading } = await readVisit(visit, grounds);
    const errand = await errandOf(operation, reading, visit, blobs);
    const placed = place(errand, where, grounds.view());
    if (placed.kind === 'refused') {
      if (placed.code === 'unknown-model') throw new UnknownModel(reading.modelText ?? '');
      throw new GatewayError(placed.code, placed.message);
    }
    const task = { visit, grounds, operation, body, reading, options };
    sentTo(visit.account, placed.backends);
    if (operation === 'copy' || operation === 'delete' || operation === 'signout') {
      await gather(task, placed.backends, placed.leftOut);
    } else await progress(task, placed.backends, placed.leftOut);
  };
}

async function errandOf(operation: Operation, reading: Reading, visit: Visit, blobs: Blobs): Promise<Errand> {
  const { from } = reading.others;
  const needsBlobs = operation === 'create' && reading.digests.length > 0;
  return {
    operation,
    model: reading.model,
    from: from === undefined ? null : canonicalModelName(from),
    blobHolders: needsBlobs ? await blobs.locate(reading.digests, visit) : null,
  };
}

interface ManageTask {
  readonly visit: Visit;
  readonly grounds: Grounds;
  readonly operation: Operation;
  readonly body: Buffer;
  readonly reading: Reading;
  readonly options: PlacementOptions;
}

function askOf({ visit, grounds, body, operation, reading, options }: ManageTask): Ask {
  const { account, exchange, route, parameter } = visit;
  const { connect } = grounds.timeouts;
  const { silence } = options;
  const isQuick = operation === 'copy' || operation === 'delete' || operation === 'signout';
  // Without a stream a pull says nothing before it is done, however long that takes.
  const slow = { connect, firstByte: reading.stream ? silence : 0, idle: silence, total: 0 };
  return {
    method: route.method,
    path: parameter === null ? route.path : route.path.replace(/:\w+$/, safeParameter(parameter)),
    headers: requestHeaders(exchange.headers, account.requestId, exchange.trace?.traceparent),
    body: body.length === 0 ? null : body,
    repeatable: false,
    timeouts: isQuick ? grounds.timeouts : slow,
  };
}

/** The only parameter that gets here is a key in base64url. */
function safeParameter(parameter: string): string {
  if (/^[A-Za-z0-9_=-]{1,500}$/.test(parameter)) return parameter;
  throw new GatewayError('not-found', 'no such key');
}

function progress(task: ManageTask, backends: NonEmpty<BackendId>, leftOut: readonly LeftOut[]): Promise<void> {
  const { grounds, reading, visit } = task;
  const ask = askOf(task);
  const settled = (ids: readonly BackendId[]) => within(REFRESH_MS, grounds.clock, grounds.refresh(ids, 'installed'));
  const [only] = backends;
  if (backends.length > 1 || leftOut.length > 0) {
    return mergeProgress({
      visit,
      backends,
      leftOut,
      settled,
      send: (backend, receiver) => grounds.client(backend).send(ask, receiver),
    });
  }
  return passProgress({
    visit,
    reading,
    backend: only,
    settled: () => settled(backends),
    send: (receiver) => grounds.client(only).send(ask, receiver),
  });
}

/** Asks all of them, waits for all, and answers with one answer or one error. */
async function gather(task: ManageTask, backends: NonEmpty<BackendId>, leftOut: readonly LeftOut[]): Promise<void> {
  const { grounds, operation, visit } = task;
  const ask = askOf(task);
  // Not given up when the client leaves: half of the fleet without a model is what nobody wants.
  const answers = await Promise.all(
    backends.map(async (id) => [id, await askWhole(grounds.client(id), ask, null)] as const),
  );
  if (operation !== 'signout') {
    await within(REFRESH_MS, grounds.clock, grounds.refresh(backends, 'installed'));
  }
  const done = answers.filter(([, answered]) => isGood(answered)).map(([id]) => id);
  const failures = answers.filter(
    ([, answered]) => !isGood(answered) && !(answered.kind === 'answer' && answered.status === nothingToDo[operation]),
  );
  const complaints = [
    ...failures.map(([id, answered]) => `${id}: ${complaintOf(answered)}`),
    ...leftOut.map(({ backend, reason }) => `${backend}: ${reason}`),
  ];
  if (done.length > 0 && complaints.length > 0) {
    throw new GatewayError('partly-done', `done on ${done.join(', ')}, but not on ${complaints.join('; ')}`);
  }
  relayGathered(visit, backends, answers);
}

function complaintOf(answered: Answered): string {
  return answered.kind === 'failed' ? `it ${answered.failure.message}` : errorTextOf(answered);
}

/** A good answer if there is one, else a backend's own error, else that none answered. */
function relayGathered(
  visit: Visit,
  backends: readonly BackendId[],
  answers: readonly (readonly [BackendId, Answered])[],
): void {
  const { account, exchange } = visit;
  const good = answers.find(([, answered]) => isGood(answered));
  const [id, answered] = good ?? answers.find(([, { kind }]) => kind === 'answer') ?? answers[0]!;
  if (answered.kind === 'failed') throw unanswered(id, answered.failure);
  relayWhole(visit, answered, ownHeaders(account, { backend: backends.join(','), reason: 'placement' }));
  exchange.end();
}

/** A backend's whole answer, unchanged, with `own` headers; the exchange is not ended. */
export function relayWhole({ account, exchange }: Visit, answer: WholeAnswer, own: readonly string[]): void {
  account.status = answer.status;
  if (answer.status >= 400) account.outcome = answer.status >= 500 ? 'backend-error' : 'client-error';
  exchange.head(answer.status, [...answer.headers, ...own], answer.length);
  exchange.write(answer.body);
}
