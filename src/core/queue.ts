/**
 * Jobs that wait for a slot. A data structure: it knows neither clock nor fleet. Jobs that compete for the same slots stand
 * in one lane, in order of service: lower priority class first, then first come, first served. What fits one job of a
 * lane fits all of them, so that whoever looks for the next job to go looks at each lane once.
 */
import { Deadlines } from './deadlines.ts';
import type { BackendId, ClientId, Job, Millis, ModelName } from './types.ts';

/** A job that waits. */
export interface Waiter {
  readonly job: Job;
  /** Backends that have failed it already. */
  readonly tried: readonly BackendId[];
  /** When it came; earlier by what it has waited before, when it comes back. */
  readonly since: Millis;
  /** When it gives up. */
  readonly deadline: Millis;
}

/** A job that waits, as operators see it. */
export interface WaitingView {
  readonly job: string;
  readonly client: ClientId;
  readonly model: ModelName | null;
  readonly priority: number;
  /** Since it first came. */
  readonly waitedMs: Millis;
  /** Until it is refused. */
  readonly leftMs: Millis;
}

export function waitingView({ job, since, deadline }: Waiter, now: Millis): WaitingView {
  const { client, id, model, priority } = job;
  return { job: id, client, model, priority, waitedMs: now - since, leftMs: deadline - now };
}

/**
 * Jobs of one runner (model and options) and one set of allowed backends, in order of service. Never empty. While it is walked, the waiter just
 * given out may be removed, and no other.
 */
export interface Lane<W extends Waiter = Waiter> extends Iterable<W> {
  readonly size: number;
  readonly head: W;
}

/** What a planner may see of the queue. */
export interface WaitingJobs<W extends Waiter = Waiter> {
  readonly size: number;
  readonly lanes: Iterable<Lane<W>>;
  /** Those of one runner. */
  lanesOf(model: ModelName | null, runnerOptions: string): Iterable<Lane<W>>;
  /** Whether `a` is served before `b` when both could go. */
  precedes(a: W, b: W): boolean;
}

export class Queue<W extends Waiter> implements WaitingJobs<W> {
  readonly #lanes = new Map<string, Row<W>>();
  /** The same by runner. */
  readonly #byRunner = new Map<string, Set<Row<W>>>();
  readonly #places = new Map<W, Place<W>>();
  readonly #deadlines = new Deadlines<W>();
  #arrivals = 0;

  get size(): number {
    return this.#places.size;
  }

  get lanes(): Iterable<Lane<W>> {
    return this.#lanes.values();
  }

  lanesOf(model: ModelName | null, runnerOptions: string): Iterable<Lane<W>> {
    return this.#byRunner.get(runnerOf(model, runnerOptions)) ?? [];
  }

  /** The waiter that gives up first. */
  get firstToExpire(): W | undefined {
    return this.#deadlines.first;
  }

  push(waiter: W): void {
    const key = laneOf(waiter);
    let row = this.#lanes.get(key);
    if (row === undefined) {
      row = new Row(key, runnerOf(waiter.job.model, waiter.job.runnerOptions));
      this.#lanes.set(key, row);
      const rows = this.#byRunner.get(row.runner);
      if (rows === undefined) this.#byRunner.set(row.runner, new Set([row]));
      else rows.add(row);
    }
    const place: Place<W> = { waiter, row, arrival: this.#arrivals++, before: null, after: null };
    row.append(place);
    this.#places.set(waiter, place);
    this.#deadlines.add(waiter);
  }

  /** False when it does not wait here. */
  remove(waiter: W): boolean {
    const place = this.#places.get(waiter);
    if (place === undefined) return false;
    place.row.unlink(place);
    if (place.row.size === 0) this.#drop(place.row);
    this.#places.delete(waiter);
    this.#deadlines.remove(waiter);
    return true;
  }

  has(waiter: W): boolean {
    return this.#places.has(waiter);
  }

  precedes(a: W, b: W): boolean {
    if (a.job.priority !== b.job.priority) return a.job.priority < b.job.priority;
    // Who comes back after a failed attempt has waited since it first came.
    if (a.since !== b.since) return a.since < b.since;
    return this.#places.get(a)!.arrival < this.#places.get(b)!.arrival;
  }

  /** Who has to go when there are too many: of those served last, the one that came last. */
  get leastUrgent(): W | undefined {
    let worst: W | undefined;
    for (const row of this.#lanes.values()) {
      const { last } = row;
      if (worst === undefined || this.precedes(worst, last)) worst = last;
    }
    return worst;
  }

  #drop(row: Row<W>): void {
    this.#lanes.delete(row.key);
    const rows = this.#byRunner.get(row.runner)!;
    rows.delete(row);
    if (rows.size === 0) this.#byRunner.delete(row.runner);
  }

  /** Waiting jobs per model; null for those that need none. */
  countByModel(): ReadonlyMap<ModelName | null, number> {
    const counts = new Map<ModelName | null, number>();
    for (const row of this.#lanes.values()) {
      const { model } = row.head.job;
      counts.set(model, (counts.get(model) ?? 0) + row.size);
    }
    return counts;
  }
}

interface Place<W extends Waiter> {
  readonly waiter: W;
  readonly row: Row<W>;
  readonly arrival: number;
  before: Place<W> | null;
  after: Place<W> | null;
}

/** One priority class of a lane: a linked list, so that leaving from the middle costs nothing. */
interface Band<W extends Waiter> {
  readonly priority: number;
  first: Place<W> | null;
  last: Place<W> | null;
}

class Row<W extends Waiter> implements Lane<W> {
  readonly key: string;
  readonly runner: string;
  size = 0;
  /** Sorted by priority; none is empty. */
  readonly #bands: Band<W>[] = [];

  constructor(key: string, runner: string) {
    this.key = key;
    this.runner = runner;
  }

  get head(): W {
    return this.#bands[0]!.first!.waiter;
  }

  get last(): W {
    return this.#bands.at(-1)!.last!.waiter;
  }

  *[Symbol.iterator](): Iterator<W> {
    // A copy, because a band goes when its last waiter does, which may be the one just given out.
    for (const band of this.#bands.slice()) {
      for (let place = band.first; place !== null; place = place.after) yield place.waiter;
    }
  }

  append(place: Place<W>): void {
    const band = this.#bandOf(place.waiter.job.priority);
    place.before = band.last;
    if (band.last === null) band.first = place;
    else band.last.after = place;
    band.last = place;
    this.size += 1;
  }

  unlink(place: Place<W>): void {
    const band = this.#bandOf(place.waiter.job.priority);
    if (place.before === null) band.first = place.after;
    else place.before.after = place.after;
    if (place.after === null) band.last = place.before;
    else place.after.before = place.before;
    this.size -= 1;
    if (band.first === null) this.#bands.splice(this.#bands.indexOf(band), 1);
  }

  #bandOf(priority: number): Band<W> {
    let index = 0;
    while (index < this.#bands.length && this.#bands[index]!.priority < priority) index += 1;
    const found = this.#bands[index];
    if (found !== undefined && found.priority === priority) return found;
    const band: Band<W> = { priority, first: null, last: null };
    this.#bands.splice(index, 0, band);
    return band;
  }
}

function runnerOf(model: ModelName | null, runnerOptions: string): string {
  return runnerOptions === '' ? (model ?? '') : `${model ?? ''}\t${runnerOptions}`;
}

/** Jobs with the same key fit the same backends at any time. Names hold no control characters. */
function laneOf({ job, tried }: Waiter): string {
  const runner = runnerOf(job.model, job.runnerOptions);
  if (tried.length === 0 && job.only === undefined) return runner;
  return `${runner}\n${[...tried].sort().join('\t')}\n${job.only === undefined ? '' : [...job.only].sort().join('\t')}`;
}
