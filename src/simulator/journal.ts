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
  | 'stalled'
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
  models: Record<string, ModelCounters>;
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
  return new BoundedJournal(clock);
}

interface Waiter {
  readonly accepts: (event: SimulatorEvent) => boolean;
  readonly resolve: (event: SimulatorEvent) => void;
}

class BoundedJournal implements Journal {
  readonly counters = freshCounters();
  readonly requests: RequestRecord[] = [];
  readonly events: SimulatorEvent[] = [];
  readonly #clock: Clock;
  #waiting: Waiter[] = [];
  #ids = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  open({ method, target, headers }: Pick<RequestRecord, 'method' | 'target' | 'headers'>): RequestRecord {
    const record: RequestRecord = {
      id: ++this.#ids,
      at: this.#clock.now(),
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
    keep(this.requests, record, keptRequests);
    this.counters.requests++;
    this.counters.inFlight++;
    this.note('request', { request: record.id });
    return record;
  }

  body(record: RequestRecord, bytes: Uint8Array): void {
    const room = keptBodyBytes - record.bodyBytes;
    if (room > 0) record.body += Buffer.from(bytes.subarray(0, room)).toString();
    record.bodyBytes += bytes.length;
  }

  model(record: RequestRecord, spelled: string, listed: string | null): void {
    record.model = spelled;
    if (listed !== null) this.#ofModel(listed).requests++;
  }

  answered(record: RequestRecord, status: number): void {
    record.status = status;
    record.answeredAt = this.#clock.now();
    this.note('answered', { request: record.id });
  }

  close(record: RequestRecord, ending: Ending): void {
    if (record.ending !== null) return;
    record.ending = ending;
    record.endedAt = this.#clock.now();
    this.counters.inFlight--;
    if (ending === 'client-left') this.counters.aborted++;
    if (ending === 'complete') this.counters.completed++;
    this.note(ending, { request: record.id });
  }

  note(kind: EventKind, about: Omit<SimulatorEvent, 'at' | 'kind'> = {}): void {
    this.#count(kind, about.model);
    const event: SimulatorEvent = { at: this.#clock.now(), kind, ...about };
    keep(this.events, event, keptEvents);
    const heard = this.#waiting.filter(({ accepts }) => accepts(event));
    this.#waiting = this.#waiting.filter((waiter) => !heard.includes(waiter));
    for (const { resolve } of heard) resolve(event);
  }

  until(accepts: (event: SimulatorEvent) => boolean): Promise<SimulatorEvent> {
    const past = this.events.find(accepts);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => void this.#waiting.push({ accepts, resolve }));
  }

  clear(): void {
    this.requests.length = 0;
    this.events.length = 0;
    const { inFlight } = this.counters;
    Object.assign(this.counters, freshCounters(), { inFlight });
  }

  #ofModel(name: string): ModelCounters {
    const { models } = this.counters;
    const counts = (Object.hasOwn(models, name) ? models[name] : undefined) ?? { requests: 0, loads: 0 };
    models[name] = counts;
    return counts;
  }

  #count(kind: EventKind, model: string | undefined): void {
    if (kind === 'load-aborted') this.counters.loadsAborted++;
    if (kind === 'evicted') this.counters.evictions++;
    if (kind !== 'load-started') return;
    this.counters.loads++;
    if (model !== undefined) this.#ofModel(model).loads++;
  }
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
