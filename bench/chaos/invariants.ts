/** What must hold in every history. Each is a function from a world to what in it is wrong. */
import { quantileOf } from '../load/statistics.ts';
import type { Rules, Violation } from './check.ts';
import { leftAt, steadyState, type Call, type Request, type World } from './world.ts';

type Invariant = (world: World, rules: Rules) => Violation[];

function eachRequest(
  invariant: string,
  look: (request: Request, rules: Rules, world: World) => string | null,
): Invariant {
  return (world, rules) => {
    const found: Violation[] = [];
    for (const request of world.requests.values()) {
      if (request.sent.isUnread === true) continue;
      const what = look(request, rules, world);
      if (what !== null) found.push({ invariant, what, id: request.sent.id });
    }
    return found;
  };
}

const oneEnding = eachRequest('I1', ({ sent, ended, endings }, { graceMs }) => {
  if (ended === null) return 'never ended';
  if (endings > 1) return `ended ${endings} times`;
  const late = ended.at - sent.at - sent.deadlineMs;
  if (late > graceMs) return `ended ${Math.round(late)} ms after its deadline`;
  if (ended.ending === 'hung') return 'hung';
  if (ended.ending === 'unanswered') return 'the connection was closed without an answer';
  // An answer with a length that is not reached is told as incomplete by HTTP itself; a stream has nothing but its frames.
  if (ended.ending === 'cut' && sent.stream) return 'a stream was cut and nothing said so';
  return null;
});

/** What the log says of a request is what its client saw. */
const trueLog = eachRequest('I1', ({ sent, ended, lines }) => {
  if (ended === null) return null;
  // Who leaves at once may have been gone before the gateway saw a request.
  if (lines.length === 0 && ended.ending === 'left') return null;
  if (lines.length !== 1) return `${lines.length} lines in the log`;
  const { outcome, status } = lines[0]!.line;
  if (ended.ending === 'complete' && outcome !== 'ok') return `complete, and logged as ${String(outcome)}`;
  if (ended.ending === 'error' && status !== ended.status)
    return `answered ${ended.status}, logged as ${String(status)}`;
  const isFailed = ended.ending === 'error-frame' || ended.ending === 'cut';
  const isTold = outcome !== 'ok' && outcome !== 'client-gone';
  if (isFailed && sent.voice !== 'copy' && !isTold) return `${ended.ending}, and logged as ${outcome}`;
  return null;
});

const oneAnswer = eachRequest('I2', ({ sent, ended }, _rules, { calls }) => {
  if (ended === null || sent.voice === 'copy') return null;
  const [run, second] = ended.runs;
  const isHalfTold = ended.ending === 'cut' && !sent.stream;
  if (ended.fault !== '' && !ended.fault.includes('dialect') && !isHalfTold) return ended.fault;
  if (second !== undefined) return `content of more than one piece: ${JSON.stringify(ended.runs.slice(0, 3))}`;
  if (run === undefined) return ended.ending === 'complete' && sent.pieces > 0 ? 'complete without content' : null;
  if (run.nonce !== sent.nonce) return `content of another request: ${run.nonce}`;
  if (run.from !== 0) return `content begins at piece ${run.from}`;
  if (ended.ending === 'complete' && run.to !== sent.pieces - 1) return `complete with ${run.to + 1} of ${sent.pieces}`;
  const call = calls.get(run.serial);
  return call?.arrived.id === sent.id ? null : `content of an answer to ${call?.arrived.id ?? 'nobody'}`;
});

/** The request that arrives is the one that was sent. */
const oneRequest: Invariant = ({ requests, strangers }) => [
  ...strangers.map(({ arrived }) => ({ invariant: 'I2', what: 'arrived without having been sent', id: arrived.id })),
  ...[...requests.values()].flatMap(({ sent, calls }) =>
    calls
      .filter(({ arrived }) => arrived.nonce !== sent.nonce || arrived.voice !== sent.voice)
      .map(() => ({ invariant: 'I2', what: 'arrived as another request', id: sent.id })),
  ),
];

const oneMarker = eachRequest('I3', ({ sent, ended }, _rules, { calls }) => {
  if (ended === null || sent.voice === 'copy') return null;
  const { errorFrames, markers } = ended;
  if (markers > 1) return `${markers} terminal markers`;
  if (errorFrames > 1) return `${errorFrames} error frames`;
  if (markers > 0 && errorFrames > 0) return 'a marker and an error frame';
  const serial = ended.runs[0]?.serial;
  if (markers === 0 || serial === undefined) return null;
  const how = calls.get(serial)?.answered?.how ?? 'no end';
  return how === 'complete' ? null : `a marker, where the backend ended with ${how}`;
});

const noneAfterCommit = eachRequest('I4', ({ ended, calls }) => {
  const firstAt = ended?.firstAt ?? null;
  if (firstAt === null) return null;
  const later = calls.filter(({ arrived }) => arrived.at > firstAt);
  return later.length === 0 ? null : `asked ${later[0]!.arrived.backend} after content had come`;
});

/** What changes something runs once on each backend. */
const onceOnly = eachRequest('I5', ({ sent, calls }) => {
  if (sent.voice !== 'copy') return null;
  const backends = calls.map(({ arrived }) => arrived.backend);
  return new Set(backends).size === backends.length ? null : `ran on ${backends.join(', ')}`;
});

/** Backends that refused the connection are not among them: nothing arrived there. */
const fewBackends = eachRequest('I6', ({ sent, calls }, { backends }) => {
  if (sent.voice === 'copy') return null;
  const different = new Set(calls.map(({ arrived }) => arrived.backend)).size;
  return different <= backends ? null : `tried on ${different} backends`;
});

/** Attempts after the first come out of a budget. */
const withinBudget: Invariant = ({ requests }, { budget, budgetFloor, budgetWindowMs }) => {
  const all = [...requests.values()].filter(({ sent }) => sent.voice !== 'copy');
  const retries = all.flatMap(({ calls }) => calls.slice(1).map(({ arrived }) => arrived.at)).sort((a, b) => a - b);
  const sends = all.map(({ sent }) => sent.at).sort((a, b) => a - b);
  const blur = budgetWindowMs / 10;
  for (const [index, at] of retries.entries()) {
    const inWindow = index + 1 - firstAtOrAfter(retries, at - budgetWindowMs + blur);
    const askedFor = firstAtOrAfter(sends, at + blur) - firstAtOrAfter(sends, at - budgetWindowMs - blur);
    const allowed = Math.max(budgetFloor, budget * askedFor) + 1;
    if (inWindow > allowed) {
      const what = `${inWindow} retries for ${askedFor} requests within ${budgetWindowMs / 1000} s`;
      return [{ invariant: 'I6', what, id: '' }];
    }
  }
  return [];
};

function firstAtOrAfter(sorted: readonly number[], at: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

const withinSlots: Invariant = ({ calls, requests }, { blurMs, slots }) => {
  if (slots === null) return [];
  const moments: { readonly at: number; readonly backend: string; readonly change: 1 | -1 }[] = [];
  for (const call of calls.values()) {
    if (call.arrived.voice === 'copy') continue;
    const { backend, at } = call.arrived;
    moments.push({ at, backend, change: 1 });
    // Whom the gateway has given up has no slot any more, and notices a little later; or never, when it had just answered.
    const isGivenUp = call.aborted !== null || call.answered === null;
    const request = requests.get(call.arrived.id);
    const left = (request === undefined ? null : leftAt(request)) ?? Infinity;
    const overAt = Math.min(isGivenUp ? call.overAt - blurMs : call.overAt, left);
    moments.push({ at: Math.max(at, overAt), backend, change: -1 });
  }
  moments.sort((a, b) => a.at - b.at || a.change - b.change);
  const busy = new Map<string, number>();
  const worst = new Map<string, number>();
  for (const { backend, change } of moments) {
    const now = (busy.get(backend) ?? 0) + change;
    busy.set(backend, now);
    worst.set(backend, Math.max(worst.get(backend) ?? 0, now));
  }
  return [...worst]
    .filter(([, most]) => most > slots)
    .map(([backend, most]) => ({
      invariant: 'I7',
      what: `${backend} had ${most} requests at once, of ${slots}`,
      id: '',
    }));
};

const quietAtTheEnd: Invariant = ({ quiets, bugs }) => [
  ...quiets.flatMap(({ gauges }) =>
    Object.entries(gauges)
      .filter(([, value]) => value !== 0)
      .map(([name, value]) => ({ invariant: 'I7', what: `${name} is ${value} when nothing is asked`, id: '' })),
  ),
  ...bugs.map(({ line }) => ({ invariant: 'I7', what: `bug: ${String(line['reason'])}`, id: '' })),
];

const stoppedWorking: Invariant = ({ abortDelays, requests }, { abortP99Ms, lateMs }) => {
  const delays = abortDelays.toSorted((a, b) => a - b);
  const p99 = quantileOf(delays, 0.99);
  const found: Violation[] = [];
  if (p99 > abortP99Ms) {
    const what = `backends of clients that left stop after ${Math.round(p99)} ms (99th percentile)`;
    found.push({ invariant: 'I8', what, id: '' });
  }
  for (const request of requests.values()) {
    const at = leftAt(request);
    if (at === null) continue;
    const { calls, sent } = request;
    const works = calls.find(({ overAt }) => overAt - at > lateMs);
    if (works !== undefined) found.push({ invariant: 'I8', what: `${works.arrived.backend} works on`, id: sent.id });
    const late = calls.find(({ arrived }) => arrived.at - at > lateMs);
    if (late !== undefined)
      found.push({ invariant: 'I8', what: `asked ${late.arrived.backend} for nobody`, id: sent.id });
  }
  return found;
};

const politeErrors = eachRequest('I13', ({ ended }) => {
  if (ended === null) return null;
  if (ended.fault.includes('dialect')) return `${ended.fault}: ${ended.text}`;
  const isBusy = ended.status === 429 || ended.status === 503;
  const isPolite = ended.retryAfter !== null && /^[1-9]\d*$/.test(ended.retryAfter);
  return isBusy && !isPolite ? `${ended.status} with Retry-After ${ended.retryAfter}` : null;
});

const outMeansOut: Invariant = ({ calls, states }, { lateMs }) =>
  [...calls.values()].flatMap((call) => {
    if (call.arrived.voice === 'copy') return [];
    const state = stateBefore(call, states, lateMs);
    const isOut = state === 'down' || state === 'draining' || state === 'unknown';
    const isEjected = state === 'ejected' && othersInUse(call, states, lateMs);
    if (!isOut && !isEjected) return [];
    return [{ invariant: 'I15', what: `${call.arrived.backend} was asked while ${state}`, id: call.arrived.id }];
  });

function stateBefore({ arrived }: Call, states: World['states'], lateMs: number): string | null {
  return steadyState(states.get(arrived.backend) ?? [], arrived.at - lateMs, arrived.at);
}

/** Whether another backend could surely have been asked: an ejected one is used when it is the last. */
function othersInUse({ arrived }: Call, states: World['states'], lateMs: number): boolean {
  return [...states].some(
    ([backend, changes]) =>
      backend !== arrived.backend && steadyState(changes, arrived.at - lateMs, arrived.at) === 'up',
  );
}

export const invariants: readonly Invariant[] = [
  oneEnding,
  trueLog,
  oneAnswer,
  oneRequest,
  oneMarker,
  noneAfterCommit,
  onceOnly,
  fewBackends,
  withinBudget,
  withinSlots,
  quietAtTheEnd,
  stoppedWorking,
  politeErrors,
  outMeansOut,
];
