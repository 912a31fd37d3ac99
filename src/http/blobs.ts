/**
 * Files on their way to a create: `HEAD|POST /api/blobs/:digest`. They stream through to the backend where the create will be
 * placed; what a backend has confirmed is remembered, and nothing else.
 */
import type { Ask } from '../backends/client.ts';
import type { UploadAsk } from '../backends/upload.ts';
import type { BlobMemory } from '../core/blob-memory.ts';
import { GatewayError } from '../core/errors.ts';
import { isReachable, placeUpload, type PlacementOptions, type Where } from '../core/placement.ts';
import type { BackendId, Millis } from '../core/types.ts';
import { answerOf, askWhole, errorTextOf, isGood, type Answered, type WholeAnswer } from './ask.ts';
import { hasUnreadBody, ownHeaders, requestHeaders } from './headers.ts';
import { endWithoutBody } from './linger.ts';
import { startUpload, type Upload, type UploadEnd } from './upload.ts';
import { sentTo, unanswered, type Grounds, type Visit } from './visit.ts';

export interface Blobs {
  answer(visit: Visit, where: Where): Promise<void>;
  /** The backends that have every one of these; asked, not only remembered. */
  locate(digests: readonly string[], visit: Visit): Promise<ReadonlySet<BackendId>>;
}

/** As Ollama takes them; anything else never gets into the path of a question to a backend. */
const DIGEST = /^sha256[:-][0-9a-fA-F]{64}$/;
/** Digests that one create is looked up by; a model has some dozens of files. */
const MOST_DIGESTS = 256;
/** Backends tried before an upload begins. */
const MOST_TRIES = 3;

export function createBlobs(grounds: Grounds, memory: BlobMemory, options: PlacementOptions): Blobs {
  return new BlobDesk(grounds, memory, options);
}

type Presence = ReadonlyMap<BackendId, Answered>;

class BlobDesk implements Blobs {
  readonly #grounds: Grounds;
  readonly #memory: BlobMemory;
  readonly #options: PlacementOptions;

  constructor(grounds: Grounds, memory: BlobMemory, options: PlacementOptions) {
    this.#grounds = grounds;
    this.#memory = memory;
    this.#options = options;
  }

  async answer(visit: Visit, where: Where): Promise<void> {
    const digest = visit.parameter ?? '';
    if (!DIGEST.test(digest)) throw new GatewayError('bad-request', 'invalid digest format');
    visit.account.phase = 'waiting';
    await (visit.route.method === 'HEAD' ? this.#head(visit, digest, where) : this.#post(visit, digest, where));
  }

  async locate(digests: readonly string[], visit: Visit): Promise<ReadonlySet<BackendId>> {
    const wanted = digests.filter((digest) => DIGEST.test(digest)).slice(0, MOST_DIGESTS);
    const reachable = this.#reachable();
    const remembered = reachable.filter((id) => wanted.every((digest) => this.#memory.holders(digest).includes(id)));
    const found = await this.#withAll(wanted, remembered, visit);
    if (found.size > 0) return found;
    return this.#withAll(
      wanted,
      reachable.filter((id) => !remembered.includes(id)),
      visit,
    );
  }

  async #withAll(digests: readonly string[], ids: readonly BackendId[], visit: Visit): Promise<Set<BackendId>> {
    if (digests.length === 0 || ids.length === 0) return new Set();
    const presences = await Promise.all(digests.map((digest) => this.#ask(digest, ids, visit)));
    return new Set(ids.filter((id) => presences.every((presence) => isGood(presence.get(id)!))));
  }

  async #head(visit: Visit, digest: string, where: Where): Promise<void> {
    if (where.kind === 'all' || where.kind === 'named') {
      const ids = this.#targets(where, []);
      const presence = await this.#ask(digest, ids, visit);
      const answers = [...presence].filter(([, answered]) => answered.kind === 'answer');
      this.#relay(visit, answers.find(([, answered]) => !isGood(answered)) ?? answers[0] ?? [...presence][0]);
      return;
    }
    // Once a client uploads to a backend, only what that one has is there.
    const pinned = this.#pinned(visit);
    const first = pinned === null ? this.#remembered(digest) : [pinned];
    const presence = new Map(await this.#ask(digest, first, visit));
    if (pinned === null && ![...presence.values()].some(isGood)) {
      const others = this.#reachable().filter((id) => !first.includes(id));
      for (const [id, answered] of await this.#ask(digest, others, visit)) presence.set(id, answered);
    }
    const holder = [...presence].find(([, answered]) => isGood(answered));
    if (holder !== undefined) this.#memory.pin(visit.account.client, holder[0]);
    this.#relay(visit, holder ?? [...presence].find(([, { kind }]) => kind === 'answer') ?? [...presence][0]);
  }

  #relay(visit: Visit, found: readonly [BackendId, Answered] | undefined): void {
    if (found === undefined) throw new GatewayError('no-backend', 'no backend that could have it is up');
    const [backend, answered] = found;
    if (answered.kind === 'failed') throw unanswered(backend, answered.failure);
    sentTo(visit.account, [backend]);
    answerWith(visit, answered, [backend], []);
    visit.exchange.end();
  }

  async #post(visit: Visit, digest: string, where: Where): Promise<void> {
    const presence = await this.#ready(visit, digest, where);
    const having = [...presence].filter(([, answered]) => isGood(answered)).map(([id]) => id);
    const lacking = [...presence].filter(([, answered]) => answered.kind === 'answer' && !isGood(answered));
    const failed = [...presence].filter(([, { kind }]) => kind === 'failed').map(([id]) => id);
    sentTo(visit.account, [...presence.keys()]);
    if (having.length + lacking.length === 0) this.#relay(visit, [...presence][0]);
    else if (lacking.length > 0) {
      await this.#upload(visit, digest, { to: lacking.map(([id]) => id), having, failed });
    } else {
      const existed = presence.get(having[0]!) as WholeAnswer;
      answerWith(visit, { ...existed, length: 0 }, having, failed);
      endWithoutBody(visit.exchange);
    }
  }

  /** The backends an upload will go to, and whether each has the file; they have shown that they answer. */
  async #ready(visit: Visit, digest: string, where: Where): Promise<Presence> {
    if (where.kind === 'all' || where.kind === 'named') return this.#ask(digest, this.#targets(where, []), visit);
    const { client } = visit.account;
    const pinned = this.#pinned(visit);
    const wanted = pinned === null ? this.#remembered(digest) : [pinned];
    const silent: BackendId[] = [];
    for (;;) {
      const [target] = this.#targets(where, wanted, silent);
      // Before anything is waited for: clients upload several files at once, and they belong together.
      this.#memory.pin(client, target!);
      const presence = await this.#ask(digest, [target!], visit);
      if (presence.get(target!)!.kind === 'answer' || silent.length + 1 >= MOST_TRIES) return presence;
      silent.push(target!);
    }
  }

  async #upload(
    visit: Visit,
    digest: string,
    { to, having, failed }: Readonly<Record<'to' | 'having' | 'failed', readonly BackendId[]>>,
  ): Promise<void> {
    const answers = await this.#send(visit, digest, to);
    const taken = to.filter((_, index) => isGood(answers[index]!));
    for (const id of taken) this.#memory.remember(digest, id, this.#options.blobMemory);
    const lost = [...failed, ...to.filter((id) => !taken.includes(id))];
    if (taken.length + having.length === 0) {
      const refusal = answers.find((answered) => answered.kind === 'answer');
      if (refusal === undefined) throw unansweredBy(to[0]!, answers[0]!);
      answerWith(visit, refusal, to, []);
    } else {
      if (lost.length > 0) visit.account.outcome = 'partly-done';
      const created = answers.find((answered) => answered.kind === 'answer' && answered.status === 201);
      const answer = (created ?? answers.find(isGood)) as WholeAnswer | undefined;
      answerWith(visit, answer ?? { status: 200, headers: [], body: Buffer.alloc(0) }, [...having, ...taken], lost);
    }
    endWithoutBody(visit.exchange);
  }

  async #send(visit: Visit, digest: string, to: readonly BackendId[]): Promise<readonly Answered[]> {
    const { account, exchange } = visit;
    const { clock, client, limits, timeouts } = this.#grounds;
    const { silence } = this.#options;
    const patience = new AbortController();
    const stopped: GatewayError[] = [];
    exchange.onStop = (why) => {
      stopped.push(why);
      patience.abort();
    };
    const signal = AbortSignal.any([exchange.leftSignal, patience.signal]);
    const ask = uploadAsk(visit, digest, timeouts.connect);
    const sendings = to.map((id) => answerOf((receiver) => client(id).upload(ask, receiver), signal));
    const calls = sendings.map(({ call, giveUp }) => ({
      write: call.write.bind(call),
      end: call.end.bind(call),
      abort: giveUp,
    }));
    const upload = startUpload(exchange.request, calls, clock, { limits, silence });
    const answers = sendings.map(async (sending, index) => {
      const answered = await sending.answered;
      upload.leave(index);
      return answered;
    });
    const end = await upload.end;
    const timer = clock.after(silence, () => patience.abort());
    const answered = await Promise.all(answers);
    timer.cancel();
    exchange.onStop = null;
    account.bytesIn = upload.bytes;
    if (stopped[0] !== undefined) throw stopped[0];
    refuseUnfinished(end, upload, answered);
    return answered;
  }

  /** Asks each whether it has the file, and remembers what they say. */
  async #ask(digest: string, ids: readonly BackendId[], visit: Visit): Promise<Presence> {
    const { client, timeouts } = this.#grounds;
    const ask: Ask = {
      method: 'HEAD',
      path: `/api/blobs/${digest}`,
      headers: requestHeaders({}, visit.account.requestId, visit.exchange.trace?.traceparent),
      body: null,
      repeatable: true,
      timeouts,
    };
    const answers = await Promise.all(
      ids.map(async (id) => [id, await askWhole(client(id), ask, visit.exchange.left)] as const),
    );
    for (const [id, answered] of answers) {
      if (isGood(answered)) this.#memory.remember(digest, id, this.#options.blobMemory);
      else if (answered.kind === 'answer') this.#memory.forget(digest, id);
    }
    return new Map(answers);
  }

  #targets(where: Where, wanted: readonly BackendId[], silent: readonly BackendId[] = []): readonly BackendId[] {
    const fleet = this.#grounds.view().filter(({ id }) => !silent.includes(id));
    const placed = placeUpload(where, wanted, fleet);
    if (placed.kind === 'placed') return placed.backends;
    throw new GatewayError(placed.code, placed.message);
  }

  #pinned({ account }: Visit): BackendId | null {
    const pinned = this.#memory.pinned(account.client);
    return pinned !== null && this.#reachable().includes(pinned) ? pinned : null;
  }

  #remembered(digest: string): readonly BackendId[] {
    const reachable = this.#reachable();
    return this.#memory.holders(digest).filter((id) => reachable.includes(id));
  }

  #reachable(): readonly BackendId[] {
    return this.#grounds
      .view()
      .filter(isReachable)
      .map(({ id }) => id);
  }
}

function uploadAsk({ account, exchange }: Visit, digest: string, connect: Millis): UploadAsk {
  const length = exchange.headers['content-length'];
  const headers = requestHeaders(exchange.headers, account.requestId, exchange.trace?.traceparent);
  if (typeof length === 'string') headers.push('Content-Length', length);
  return { path: `/api/blobs/${digest}`, headers, connect };
}

/** Throws when the body did not arrive whole and no backend has said anything about what did. */
function refuseUnfinished(end: UploadEnd, { bytes }: Upload, answers: readonly Answered[]): void {
  if (end === 'client-gone') throw new GatewayError('client-gone', `the client left after ${bytes} bytes`);
  if (end === 'receive-timeout' && answers.every(({ kind }) => kind === 'failed')) {
    throw new GatewayError('receive-timeout', 'the upload did not arrive in time');
  }
}

function unansweredBy(backend: BackendId, answered: Answered): GatewayError {
  if (answered.kind === 'failed') return unanswered(backend, answered.failure);
  return new GatewayError('backend-unavailable', `backend ${backend}: ${errorTextOf(answered)}`);
}

/** Writes a backend's answer; the exchange is not ended. */
function answerWith(
  { account, exchange }: Visit,
  { status, headers, body, length }: Pick<WholeAnswer, 'status' | 'headers' | 'body'> & { length?: number | null },
  backends: readonly BackendId[],
  failed: readonly BackendId[],
): void {
  account.status = status;
  if (status >= 400) account.outcome = status >= 500 ? 'backend-error' : 'client-error';
  const own = ownHeaders(account, { backend: backends.join(','), reason: 'placement' });
  const lost = failed.length > 0 ? ['X-Llamero-Failed', failed.join(',')] : [];
  const close = hasUnreadBody(exchange.request) ? ['Connection', 'close'] : [];
  const bodyLength = exchange.method === 'HEAD' ? (length ?? null) : body.length;
  exchange.head(status, [...headers, ...own, ...lost, ...close], bodyLength);
  exchange.write(body);
}
