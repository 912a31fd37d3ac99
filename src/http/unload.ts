/**
 * `keep_alive: 0` with nothing to run, which is what `ollama stop` sends: it means the model, wherever it is in memory. It needs no
 * slot and does not wait for one. Every backend that has the model is told, because what is known of their memory is seconds old,
 * and telling one that has nothing to unload costs nothing.
 */
import type { Ask } from '../backends/client.ts';
import { GatewayError } from '../core/errors.ts';
import type { BackendView } from '../core/fleet.ts';
import { holdersOf, isReachable } from '../core/placement.ts';
import type { BackendId } from '../core/types.ts';
import type { Reading } from '../dialects/dialect.ts';
import { askWhole, isGood, type Answered } from './ask.ts';
import { ownHeaders, requestHeaders } from './headers.ts';
import { relayWhole } from './manage.ts';
import { sentTo, unanswered, within, type Grounds, type Visit } from './visit.ts';

/** How long the answer of the first waits for the others. */
const OTHERS_MS = 2000;
const REFRESH_MS = 500;

export async function unload(visit: Visit, body: Buffer, reading: Reading, grounds: Grounds): Promise<void> {
  const { account, exchange, route } = visit;
  const { clock, client, emit, refresh, timeouts } = grounds;
  const ids = whoHasIt(reading, grounds.view());
  sentTo(account, ids);
  account.phase = 'waiting';
  const ask: Ask = {
    method: 'POST',
    path: route.path,
    headers: requestHeaders(exchange.headers, account.requestId, exchange.trace?.traceparent),
    body,
    repeatable: true,
    timeouts,
  };
  // Not given up when the client leaves: it has said what it wants.
  const answers = ids.map((id) => askWhole(client(id), ask, null));
  for (const [index, answer] of answers.entries()) {
    void answer.then((answered) => {
      if (answered.kind !== 'failed') return;
      const { code } = answered.failure;
      emit({
        kind: 'attempt-failed',
        requestId: account.requestId,
        backend: ids[index]!,
        failure: code,
        retried: false,
      });
    });
  }
  const first = await firstGood(answers);
  await within(OTHERS_MS, clock, Promise.all(answers));
  await within(REFRESH_MS, clock, refresh(ids, 'resident'));
  const { index, answered } = first;
  if (answered.kind === 'failed') throw unanswered(ids[index]!, answered.failure);
  account.backend = ids[index]!;
  relayWhole(visit, answered, ownHeaders(account, { backend: ids.join(','), reason: 'placement' }));
  exchange.end();
}

/** Those that can be asked, those that are known to have it in memory first. */
function whoHasIt({ model, modelText }: Reading, fleet: readonly BackendView[]): readonly BackendId[] {
  const holders = model === null ? [] : holdersOf(model, fleet);
  if (holders.length === 0) throw new GatewayError('unknown-model', `model '${modelText ?? ''}' not found`);
  const reachable = holders.filter(isReachable);
  if (reachable.length === 0) throw new GatewayError('no-backend', 'every backend that has the model is down');
  const isResident = ({ resident }: BackendView) => resident?.some(({ name }) => name === model) === true;
  return [...reachable.filter(isResident), ...reachable.filter((backend) => !isResident(backend))].map(({ id }) => id);
}

interface Indexed {
  readonly index: number;
  readonly answered: Answered;
}

/** The first good answer, or, when there is none, the first in the order asked. */
async function firstGood(answers: readonly Promise<Answered>[]): Promise<Indexed> {
  const good = answers.map(async (answer, index) => {
    const answered = await answer;
    if (!isGood(answered)) throw new Error('not this one');
    return { index, answered };
  });
  try {
    return await Promise.any(good);
  } catch {
    const all = await Promise.all(answers);
    const index = Math.max(
      0,
      all.findIndex(({ kind }) => kind === 'answer'),
    );
    return { index, answered: all[index]! };
  }
}
