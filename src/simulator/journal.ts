/** What a simulated Ollama remembers of its day, for tests to read: requests, events, counts. All bounded. */
import type { Clock, Millis } from '../core/types.ts';

/** Bytes of a request's body that are kept. */
const keptBodyBytes = 65_536;

export interface RequestRecord {
  readonly id: number;
  /** Real monotonic milliseconds, like all times here. */
  readonly at: Millis;
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  /** Names and values as sent, in order. */
  readonly headers: readonly (readonly [string, string])[];
  /** The body's beginning, as UTF-8. */
  body: string;
  bodyBytes: number;
  /** The model it names, as spelled; null while unknown or when it names none. */
  model: string | null;
  status: number | null;
  /** When the head was sent. */
  answeredAt: Millis | null;
  bytesSent: number;
  endedAt: Millis | null;
  ending: Ending | null;
}

/** `complete`: the whole answer was written. `client-left`: the client closed first. `cut`: a fault ended it. */
export type Ending = 'complete' | 'client-left' | 'cut';

export type EventKind =
  | 'request'
  | 'answered'
  | Ending
  | 'load-started'
  | 'load-finished'
  | 'load-aborted'
  | 'evicted'
  | 'expired'
  | 'refusing'
  | 'listening'
  | 'crashed'
  | 'bug';

export interface SimulatorEvent {
  readonly at: Millis;
  readonly kind: EventKind;
  /** The request's id, when it is about one. */
  readonly request?: number;
  readonly model?: string;
  readonly text?: string;
}

export interface ModelCounters {
  requests: number;
  loads: number;
}

export interface Counters {
  requests: number;
  /** Requests whose client left before the answer was complete. */
  aborted: number;
  completed: number;
  inFlight: number;
  loads: number;
  loadsAborted: number;
  evictions: number;
  /** By the model's name as listed. */
  readonly models: Record<string, ModelCounters>;
}

export interface Journal {
  readonly counters: Counters;
  readonly requests: readonly RequestRecord[];
  readonly events: readonly SimulatorEvent[];
  open(request: Pick<RequestRecord, 'method' | 'target' | 'headers'>): RequestRecord;
  body(record: RequestRecord, bytes: Uint8Array): void;
  model(record: RequestRecord, spelled: string, listed: string | null): void;
  answered(record: RequestRecord, status: number): void;
  close(record: RequestRecord, ending: Ending): void;
  note(kind: EventKind, about?: Omit<SimulatorEvent, 'at' | 'kind'>): void;
  /** The first event, past or to come, that the test accepts. */
  until(accepts: (event: SimulatorEvent) => boolean): Promise<SimulatorEvent>;
  /** Forgets requests, events and counts; what is in flight stays counted. */
  clear(): void;
}

const keptRequests = 1_000;
const keptEvents = 4_000;

export function createJournal(clock: Clock): Journal {
  const requests: RequestRecord[] = [];
  const events: SimulatorEvent[] = [];
  let waiting: {
    readonly accepts: (event: SimulatorEvent) => boolean;
    readonly resolve: (event: SimulatorEvent) => void;
  }[] = [];
  const counters: Counters = freshCounters();
  let ids = 0;

  function note(kind: EventKind, about: Omit<SimulatorEvent, 'at' | 'kind'> = {}): void {
    const event: SimulatorEvent = { at: clock.now(), kind, ...about };
    keep(events, event, keptEvents);
    const [heard, left] = [
      waiting.filter(({ accepts }) => accepts(event)),
      waiting.filter(({ accepts }) => !accepts(event)),
    ];
    waiting = left;
    for (const { resolve } of heard) resolve(event);
  }

  function ofModel(name: string): ModelCounters {
    const known = Object.hasOwn(counters.models, name) ? counters.models[name] : undefined;
    const counts = known ?? { requests: 0, loads: 0 };
    counters.models[name] = counts;
    return counts;
  }

  function count(kind: EventKind, model: string | undefined): void {
    if (kind === 'load-started') {
      counters.loads++;
      if (model !== undefined) ofModel(model).loads++;
    }
    if (kind === 'load-aborted') counters.loadsAborted++;
    if (kind === 'evicted') counters.evictions++;
  }

  return {
    counters,
    requests,
    events,
    open({ method, target, headers }) {
      const record: RequestRecord = {
        id: ++ids,
        at: clock.now(),
        method,
        target,
        headers,
        body: '',
        bodyBytes: 0,
        model: null,
        status: null,
        answeredAt: null,
        bytesSent: 0,
        endedAt: null,
        ending: null,
      };
      keep(requests, record, keptRequests);
      counters.requests++;
      counters.inFlight++;
      note('request', { request: record.id });
      return record;
    },
    body(record, bytes) {
      const room = keptBodyBytes - record.bodyBytes;
      if (room > 0) record.body += Buffer.from(bytes.subarray(0, room)).toString();
      record.bodyBytes += bytes.length;
    },
    model(record, spelled, listed) {
      record.model = spelled;
      if (listed !== null) ofModel(listed).requests++;
    },
    answered(record, status) {
      record.status = status;
      record.answeredAt = clock.now();
      note('answered', { request: record.id });
    },
    close(record, ending) {
      if (record.ending !== null) return;
      record.ending = ending;
      record.endedAt = clock.now();
      counters.inFlight--;
      if (ending === 'client-left') counters.aborted++;
      if (ending === 'complete') counters.completed++;
      note(ending, { request: record.id });
    },
    note(kind, about = {}) {
      count(kind, about.model);
      note(kind, about);
    },
    until(accepts) {
      const past = events.find(accepts);
      if (past !== undefined) return Promise.resolve(past);
      return new Promise((resolve) => void waiting.push({ accepts, resolve }));
    },
    clear() {
      requests.length = 0;
      events.length = 0;
      const { inFlight } = counters;
      Object.assign(counters, freshCounters(), { inFlight });
    },
  };
}

function freshCounters(): Counters {
  return {
    requests: 0,
    aborted: 0,
    completed: 0,
    inFlight: 0,
    loads: 0,
    loadsAborted: 0,
    evictions: 0,
    models: {},
  };
}

function keep<T>(list: T[], item: T, limit: number): void {
  list.push(item);
  // In bites, so that a full list does not move on every item.
  if (list.length > limit * 1.25) list.splice(0, list.length - limit);
}
