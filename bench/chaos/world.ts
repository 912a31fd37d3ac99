/** A history, put together by what it is about: each request with what became of it, each backend with its states. */
import type { Aborted, Answered, Arrived, Ended, HistoryEvent, Logged, Quiet, Sent, Started } from './history.ts';

/** One request as its client, the backends and the log have seen it. */
export interface Request {
  readonly sent: Sent;
  ended: Ended | null;
  /** More than one only when somebody tells of the end twice. */
  endings: number;
  readonly calls: Call[];
  /** The gateway's lines about it. */
  readonly lines: Logged[];
}

/** One arrival of a request at a backend. */
export interface Call {
  readonly arrived: Arrived;
  started: Started | null;
  answered: Answered | null;
  aborted: Aborted | null;
  /** When it was over for the backend, its death included; Infinity when it never was. */
  overAt: number;
}

export interface StateChange {
  readonly at: number;
  readonly to: string;
}

export interface World {
  readonly requests: ReadonlyMap<string, Request>;
  readonly calls: ReadonlyMap<string, Call>;
  /** Calls of requests that no client has sent. */
  readonly strangers: readonly Call[];
  /** What the gateway said of each backend, in order. */
  readonly states: ReadonlyMap<string, readonly StateChange[]>;
  readonly quiets: readonly Quiet[];
  /** Lines that tell of a bug. */
  readonly bugs: readonly Logged[];
  /** Milliseconds from a client's leaving until its backend noticed, for every one that had something to notice. */
  readonly abortDelays: readonly number[];
}

/** `events` are in the order of their time. */
export function worldOf(events: readonly HistoryEvent[]): World {
  const builder = new Builder();
  // Who was asked for is known first: what others tell of a request may carry a time that is a little off, or an hour.
  for (const event of events) if (event.kind === 'sent') builder.add(event);
  for (const event of events) if (event.kind !== 'sent') builder.add(event);
  return builder.world();
}

class Builder {
  readonly #requests = new Map<string, Request>();
  readonly #calls = new Map<string, Call>();
  readonly #strangers: Call[] = [];
  readonly #states = new Map<string, StateChange[]>();
  readonly #quiets: Quiet[] = [];
  readonly #bugs: Logged[] = [];
  readonly #openAt = new Map<string, Set<Call>>();

  add(event: HistoryEvent): void {
    switch (event.kind) {
      case 'sent':
        this.#requests.set(event.id, { sent: event, ended: null, endings: 0, calls: [], lines: [] });
        break;
      case 'ended': {
        const request = this.#requests.get(event.id);
        if (request === undefined) break;
        request.ended ??= event;
        request.endings += 1;
        break;
      }
      case 'arrived':
        this.#arrived(event);
        break;
      case 'started': {
        const call = this.#calls.get(event.serial);
        if (call !== undefined) call.started = event;
        break;
      }
      case 'answered':
      case 'aborted':
        this.#over(event);
        break;
      // What had arrived while it was being killed is over by the time it is there again.
      case 'listening':
      case 'killed':
        for (const call of this.#openAt.get(event.backend) ?? []) call.overAt = event.at;
        this.#openAt.delete(event.backend);
        break;
      case 'logged':
        this.#logged(event);
        break;
      case 'quiet':
        this.#quiets.push(event);
        break;
      case 'sampled':
      case 'marked':
        break;
    }
  }

  world(): World {
    return {
      requests: this.#requests,
      calls: this.#calls,
      strangers: this.#strangers,
      states: this.#states,
      quiets: this.#quiets,
      bugs: this.#bugs,
      abortDelays: [...this.#requests.values()].flatMap(abortDelays),
    };
  }

  #arrived(event: Arrived): void {
    const call: Call = { arrived: event, started: null, answered: null, aborted: null, overAt: Infinity };
    this.#calls.set(event.serial, call);
    const open = this.#openAt.get(event.backend) ?? new Set();
    open.add(call);
    this.#openAt.set(event.backend, open);
    const request = this.#requests.get(event.id);
    if (request === undefined) this.#strangers.push(call);
    else request.calls.push(call);
  }

  #over(event: Answered | Aborted): void {
    const call = this.#calls.get(event.serial);
    if (call === undefined) return;
    if (event.kind === 'answered') call.answered = event;
    else call.aborted = event;
    call.overAt = Math.min(call.overAt, event.at);
    this.#openAt.get(call.arrived.backend)?.delete(call);
  }

  #logged(event: Logged): void {
    const { msg, backend, to, request_id: id } = event.line;
    if (msg === 'request') this.#requests.get(String(id))?.lines.push(event);
    if (msg === 'bug') this.#bugs.push(event);
    if (typeof msg !== 'string' || !msg.startsWith('backend ') || typeof to !== 'string') return;
    const changes = this.#states.get(String(backend)) ?? [];
    changes.push({ at: event.at, to });
    this.#states.set(String(backend), changes);
  }
}

function abortDelays(request: Request): number[] {
  const at = leftAt(request);
  if (at === null) return [];
  return request.calls.filter((call) => call.overAt > at).map((call) => call.overAt - at);
}

/**
 * Since when a client's leaving can be known in the gateway: not before the request was. Null when the client has not left, and
 * for what manages models, which is finished although nobody waits for it.
 */
export function leftAt({ sent, ended, lines }: Request): number | null {
  if (ended?.ending !== 'left' || sent.voice === 'copy') return null;
  const [line] = lines;
  return line === undefined ? ended.at : Math.max(ended.at, line.at - Number(line.line['duration_ms']));
}

/** The state a backend was in throughout, from `from` to `to`; null when it changed, or none was told. */
export function steadyState(changes: readonly StateChange[], from: number, to: number): string | null {
  let state: string | null = null;
  for (const change of changes) {
    if (change.at > to) break;
    if (change.at > from) return null;
    state = change.to;
  }
  return state;
}
