/**
 * Jobs that wait for a slot, and whose turn it is. A data structure: it knows neither clock nor fleet, and is told the time. Jobs that
 * compete for the same slots stand in one lane, in order of service (lane.ts). What fits one job of a lane fits all of them, so
 * that whoever looks for the next job to go looks at each lane once.
 */
import { Deadlines } from './deadlines.ts';
import { Heap } from './heap.ts';
import { isOlder, Row, type File, type Moment, type Place, type Standing } from './lane.ts';
import { Shares, type Charge } from './shares.ts';
import type { BackendId, ClientId, Job, Millis, ModelName, Outcome } from './types.ts';

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
  /** Of its body, which is kept meanwhile. */
  readonly bytes: number;
}

export function waitingView({ job, since, deadline }: Waiter, now: Millis): WaitingView {
  const { bytes = 0, client, id, model, priority } = job;
  return { job: id, client, model, priority, waitedMs: now - since, leftMs: deadline - now, bytes };
}

/**
 * Jobs of one runner (model and options) and one set of allowed backends, in order of service: those that may go when a slot
 * comes free. Never empty. It does not change while it is walked.
 */
export interface Lane<W extends Waiter = Waiter> extends Iterable<W> {
  readonly size: number;
  readonly head: W;
  /** Who has waited for longest. */
  readonly oldest: W;
}

/** What a planner may see of the queue. */
export interface WaitingJobs<W extends Waiter = Waiter> {
  readonly size: number;
  readonly lanes: Iterable<Lane<W>>;
  /** Those of one runner. */
  lanesOf(model: ModelName | null, runnerOptions: string): Iterable<Lane<W>>;
  /** Whether `a` is served before `b` when both could go. */
  precedes(a: W, b: W): boolean;
  /** Whether others should find a free slot before it gets one, because its client has most of them. */
  yields(waiter: W): boolean;
}

export class Queue<W extends Waiter> implements WaitingJobs<W> {
  readonly #shares = new Shares();
  readonly #moment: Moment = { now: -Infinity, ageing: Infinity };
  readonly #rows = new Map<string, Row<W>>();
  /** Rows with somebody who may go. */
  readonly #lanes = new Set<Row<W>>();
  /** The same by runner. */
  readonly #byRunner = new Map<string, Set<Row<W>>>();
  readonly #places = new Map<W, Place<W>>();
  readonly #deadlines = new Deadlines<W>();
  readonly #standings = new Map<ClientId, Standing<W>>();
  /** Clients with waiting jobs, those with the most of the queue for their weight first. */
  readonly #heaviest = new Heap<Standing<W>>(isHeavier);
  #arrivals = 0;

  /** All that wait, whether they may go or not. */
  get size(): number {
    return this.#places.size;
  }

  get lanes(): Iterable<Lane<W>> {
    return this.#lanes;
  }

  lanesOf(model: ModelName | null, runnerOptions: string): Iterable<Lane<W>> {
    return this.#byRunner.get(runnerOf(model, runnerOptions)) ?? [];
  }

  /** The waiter that gives up first. */
  get firstToExpire(): W | undefined {
    return this.#deadlines.first;
  }

  /** Who has to go when there are too many: the newest job of the client with the most of the queue for its weight. */
  get leastUrgent(): W | undefined {
    const standing = this.#heaviest.first;
    return standing === undefined ? undefined : newestOf(standing).waiter;
  }

  /** How long a band may be passed over before one of its jobs goes first. */
  setAgeing(ageing: Millis): void {
    this.#moment.ageing = ageing;
  }

  /** The time, before it is asked for an order. */
  setNow(now: Millis): void {
    this.#moment.now = now;
  }

  /** Whether slots are shared out runner by runner, or all as one. */
  setByRunner(byRunner: boolean): void {
    const places = [...this.#places.values()].sort((a, b) => a.arrival - b.arrival);
    for (const { waiter } of places) this.remove(waiter);
    this.#shares.setByRunner(byRunner);
    for (const { waiter } of places) this.push(waiter);
  }

  push(waiter: W): void {
    const { job } = waiter;
    const standing = this.#standingOf(job);
    const row = this.#rowFor(waiter);
    const file = row.fileFor(standing, this.#shares.join(job, this.#moment.now), job.priority);
    const place: Place<W> = { waiter, file, arrival: this.#arrivals++, before: null, after: null };
    row.append(place);
    this.#places.set(waiter, place);
    this.#deadlines.add(waiter);
    standing.waiting += 1;
    standing.priority = job.priority;
    standing.arrival = place.arrival;
    if (standing.waiting === 1) this.#heaviest.add(standing);
    else this.#heaviest.moved(standing);
    this.#list(row);
  }

  /** Its turn has come: it goes to a backend. Null when it does not wait here. */
  serve(waiter: W): Charge | null {
    if (!this.#places.has(waiter)) return null;
    const charge = this.#shares.charge(waiter.job);
    this.#take(waiter, true);
    return this.#charge(waiter.job, charge);
  }

  /** The job goes to a backend without having waited. */
  admit(job: Job): Charge {
    return this.#charge(job, this.#shares.admit(job, this.#moment.now));
  }

  /** It has given up. False when it does not wait here. */
  remove(waiter: W): boolean {
    return this.#take(waiter, false);
  }

  has(waiter: W): boolean {
    return this.#places.has(waiter);
  }

  /** Whether the client may have one more job with a backend. */
  admits({ client, share }: Job): boolean {
    return share?.concurrency === undefined || (this.#standings.get(client)?.running ?? 0) < share.concurrency;
  }

  /** How many jobs of the client wait. */
  waitingOf(client: ClientId): number {
    return this.#standings.get(client)?.waiting ?? 0;
  }

  /** It has ended. Jobs that may go only now: one of each kind. */
  settle(charge: Charge, job: Job, outcome: Outcome): readonly Job[] {
    const standing = this.#standings.get(job.client)!;
    this.#shares.settle(charge, job, outcome);
    reorder(standing, charge);
    const hadRoom = standing.running < standing.concurrency;
    standing.running -= 1;
    const hasRoom = standing.running < standing.concurrency;
    if (!hadRoom && hasRoom) this.#setReady(standing, true);
    this.#forgetIfGone(standing);
    return !hadRoom && hasRoom ? [...standing.files].map(({ first }) => first!.waiter.job) : [];
  }

  precedes(a: W, b: W): boolean {
    const [one, other] = [this.#places.get(a)!, this.#places.get(b)!];
    const isOverdue = one.file.row.isOverdue(one.file, a);
    if (isOverdue !== other.file.row.isOverdue(other.file, b)) return isOverdue;
    if (a.job.priority !== b.job.priority) return a.job.priority < b.job.priority;
    // By how far they are ahead of those they share with, because two runners have nothing to compare.
    const difference = lead(one.file) - lead(other.file);
    return difference === 0 ? isOlder(one, other) : difference < 0;
  }

  yields(waiter: W): boolean {
    return this.#shares.yields(this.#places.get(waiter)!.file.tab, this.#moment.now);
  }

  /** How many jobs of its model will probably have gone when the last of the waiter's client has, that one included. */
  ahead(waiter: W): number {
    const { file } = this.#places.get(waiter)!;
    const { model } = waiter.job;
    let count = file.row.ahead(file);
    for (const row of this.#rows.values()) {
      if (row === file.row || row.model !== model) continue;
      count += row.total;
    }
    return count;
  }

  /** Waiting jobs per model; null for those that need none. */
  countByModel(): ReadonlyMap<ModelName | null, number> {
    const counts = new Map<ModelName | null, number>();
    for (const { model, total } of this.#rows.values()) counts.set(model, (counts.get(model) ?? 0) + total);
    return counts;
  }

  /** In the order they came. */
  [Symbol.iterator](): Iterator<W> {
    return this.#places.keys();
  }

  /** All that wait, whether they may go or not; together those that fit the same backends. */
  *alike(): Generator<readonly W[], void, undefined> {
    for (const row of this.#rows.values()) yield [...row.all()];
  }

  #charge(job: Job, charge: Charge): Charge {
    const standing = this.#standingOf(job);
    standing.running += 1;
    if (standing.running >= standing.concurrency) this.#setReady(standing, false);
    reorder(standing, charge);
    return charge;
  }

  #take(waiter: W, served: boolean): boolean {
    const place = this.#places.get(waiter);
    if (place === undefined) return false;
    const { row, standing, tab } = place.file;
    row.unlink(place, served);
    this.#places.delete(waiter);
    this.#deadlines.remove(waiter);
    standing.waiting -= 1;
    if (standing.waiting === 0) this.#heaviest.remove(standing);
    else this.#heaviest.moved(standing);
    this.#shares.leave(tab);
    this.#list(row);
    if (!served) this.#forgetIfGone(standing);
    return true;
  }

  #standingOf({ client, priority, share }: Job): Standing<W> {
    let standing = this.#standings.get(client);
    if (standing === undefined) {
      const caps = { concurrency: Infinity, weight: 1 };
      standing = { client, waiting: 0, running: 0, ...caps, priority, arrival: 0, files: new Set() };
      this.#standings.set(client, standing);
    }
    standing.weight = share?.weight ?? 1;
    standing.concurrency = share?.concurrency ?? Infinity;
    return standing;
  }

  #forgetIfGone({ client, running, waiting }: Standing<W>): void {
    if (waiting === 0 && running === 0) this.#standings.delete(client);
  }

  #setReady({ files }: Standing<W>, ready: boolean): void {
    for (const file of files) {
      file.row.setReady(file, ready);
      this.#list(file.row);
    }
  }

  #rowFor(waiter: W): Row<W> {
    const key = laneOf(waiter);
    let row = this.#rows.get(key);
    if (row === undefined) {
      const { model, runnerOptions } = waiter.job;
      row = new Row(key, { model, runner: runnerOf(model, runnerOptions), moment: this.#moment });
      this.#rows.set(key, row);
    }
    return row;
  }

  /** Lets planners see a row, or no longer. */
  #list(row: Row<W>): void {
    if (row.total === 0) this.#rows.delete(row.key);
    const isListed = this.#lanes.has(row);
    if (isListed === row.size > 0) return;
    const rows = this.#byRunner.get(row.runner);
    if (isListed) {
      this.#lanes.delete(row);
      rows!.delete(row);
      if (rows!.size === 0) this.#byRunner.delete(row.runner);
      return;
    }
    this.#lanes.add(row);
    if (rows === undefined) this.#byRunner.set(row.runner, new Set([row]));
    else rows.add(row);
  }
}

/** Its client's counter has changed, and with it whose turn it is. */
function reorder<W extends Waiter>({ files }: Standing<W>, { tab }: Charge): void {
  for (const file of files) if (file.tab === tab) file.row.reorder(file);
}

function lead<W extends Waiter>({ tab }: File<W>): number {
  return tab.counter - tab.pool.level;
}

function isHeavier<W extends Waiter>(a: Standing<W>, b: Standing<W>): boolean {
  const difference = a.waiting / a.weight - b.waiting / b.weight;
  if (difference !== 0) return difference > 0;
  return a.priority === b.priority ? a.arrival > b.arrival : a.priority > b.priority;
}

function newestOf<W extends Waiter>({ files }: Standing<W>): Place<W> {
  let newest: Place<W> | null = null;
  for (const { last } of files) if (newest === null || last!.arrival > newest.arrival) newest = last;
  return newest!;
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
