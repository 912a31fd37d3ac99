/**
 * Jobs that compete for the same slots, in order of service: bands by priority, within a band the client that has had the least,
 * and its jobs first come, first served. A band that has been passed over for too long gets one job in before the others.
 */
import { Heap } from './heap.ts';
import type { Lane, Waiter } from './queue.ts';
import { expectedTokens, type Tab } from './shares.ts';
import type { ClientId, Millis, ModelName } from './types.ts';

/** What a client has in the queue and with backends, in all. */
export interface Standing<W extends Waiter> {
  readonly client: ClientId;
  waiting: number;
  running: number;
  /** How many may be with a backend at a time. */
  concurrency: number;
  weight: number;
  /** Of its newest job. */
  priority: number;
  arrival: number;
  /** Its rows in all lanes. */
  readonly files: Set<File<W>>;
}

/** A job's place in the queue. */
export interface Place<W extends Waiter> {
  readonly waiter: W;
  readonly file: File<W>;
  readonly arrival: number;
  before: Place<W> | null;
  after: Place<W> | null;
}

/** The jobs of one client in one band of a lane, in the order they came: a linked list, so that leaving from the middle costs nothing. */
export interface File<W extends Waiter> {
  readonly row: Row<W>;
  readonly band: Band<W>;
  readonly standing: Standing<W>;
  readonly tab: Tab;
  size: number;
  first: Place<W> | null;
  last: Place<W> | null;
}

interface Band<W extends Waiter> {
  readonly priority: number;
  /** All of it. */
  readonly files: Map<ClientId, File<W>>;
  /** Of clients that may have another job with a backend. */
  readonly ready: Heap<File<W>>;
  /** When one of its jobs last went, or the first came. */
  servedAt: Millis;
}

/** What every lane of a queue goes by. */
export interface Moment {
  now: Millis;
  /** How long a band may be passed over. */
  ageing: Millis;
}

/** Where a walk through a band goes on: a file, and what its client will have had by then. */
interface Step<W extends Waiter> {
  readonly place: Place<W>;
  readonly counter: number;
}

export class Row<W extends Waiter> implements Lane<W> {
  readonly key: string;
  readonly model: ModelName | null;
  readonly runner: string;
  /** Jobs that may go, and all. */
  size = 0;
  total = 0;
  readonly #moment: Moment;
  /** Sorted by priority; none is empty. */
  readonly #bands: Band<W>[] = [];

  constructor(key: string, { model, moment, runner }: { model: ModelName | null; moment: Moment; runner: string }) {
    this.key = key;
    this.model = model;
    this.runner = runner;
    this.#moment = moment;
  }

  get head(): W {
    return this.#firstBand.ready.first!.first!.waiter;
  }

  get oldest(): W {
    let oldest: W | null = null;
    for (const { ready } of this.#bands) {
      for (const { first } of ready) {
        if (oldest === null || first!.waiter.since < oldest.since) oldest = first!.waiter;
      }
    }
    return oldest!;
  }

  [Symbol.iterator](): Iterator<W> {
    return this.#bands.length === 1 ? walk(this.#bands[0]!) : this.#walkAll();
  }

  *#walkAll(): Generator<W, void, undefined> {
    const early = this.#overdue.map(({ ready }) => ready.first!.first!.waiter);
    yield* early;
    for (const band of this.#bands) {
      for (const waiter of walk(band)) if (!early.includes(waiter)) yield waiter;
    }
  }

  /** Those that may not go yet, too; in no order. */
  *all(): Iterable<W> {
    for (const { files } of this.#bands) {
      for (const { first } of files.values()) {
        for (let place = first; place !== null; place = place.after) yield place.waiter;
      }
    }
  }

  /** Whether it goes before the other bands because it has been passed over. */
  isOverdue({ first, band }: File<W>, waiter: W): boolean {
    return first?.waiter === waiter && band.ready.first?.first === first && this.#overdue.includes(band);
  }

  fileFor(standing: Standing<W>, tab: Tab, priority: number): File<W> {
    const band = this.#bandOf(priority);
    let file = band.files.get(standing.client);
    if (file === undefined) {
      file = { row: this, band, standing, tab, size: 0, first: null, last: null };
      band.files.set(standing.client, file);
      standing.files.add(file);
      if (standing.running < standing.concurrency) band.ready.add(file);
    }
    return file;
  }

  append(place: Place<W>): void {
    const { file } = place;
    place.before = file.last;
    if (file.last === null) file.first = place;
    else file.last.after = place;
    file.last = place;
    file.size += 1;
    this.total += 1;
    if (!file.band.ready.has(file)) return;
    this.size += 1;
    // It stands where its first job says.
    if (file.size === 1) file.band.ready.moved(file);
  }

  unlink(place: Place<W>, served: boolean): void {
    const { file } = place;
    const { band } = file;
    if (served) band.servedAt = this.#moment.now;
    if (place.before === null) file.first = place.after;
    else place.before.after = place.after;
    if (place.after === null) file.last = place.before;
    else place.after.before = place.before;
    file.size -= 1;
    this.total -= 1;
    if (band.ready.has(file)) this.size -= 1;
    if (file.first !== null) {
      band.ready.moved(file);
      return;
    }
    band.ready.remove(file);
    band.files.delete(file.standing.client);
    file.standing.files.delete(file);
    if (band.files.size === 0) this.#bands.splice(this.#bands.indexOf(band), 1);
  }

  /** Whether the client's jobs may go. */
  setReady(file: File<W>, ready: boolean): void {
    const { band, size } = file;
    if (band.ready.has(file) === ready) return;
    if (ready) band.ready.add(file);
    else band.ready.remove(file);
    this.size += ready ? size : -size;
  }

  /** The client's counter has changed. */
  reorder(file: File<W>): void {
    file.band.ready.moved(file);
  }

  /** How many of it will probably have gone when the file's last has, that one included. */
  ahead({ band, size, tab }: File<W>): number {
    let count = 0;
    for (const other of this.#bands) {
      if (other.priority > band.priority) break;
      for (const { size: theirs, tab: their } of other.files.values()) {
        count += other === band ? Math.min(theirs, Math.ceil((size * their.weight) / tab.weight)) : theirs;
      }
    }
    return count;
  }

  get #firstBand(): Band<W> {
    const bands = this.#bands;
    if (bands.length === 1) return bands[0]!;
    return this.#overdue[0] ?? bands.find(({ ready }) => ready.size > 0)!;
  }

  get #overdue(): Band<W>[] {
    const { ageing, now } = this.#moment;
    const bands = this.#bands;
    if (bands.length < 2) return [];
    let isFirst = true;
    const overdue: Band<W>[] = [];
    for (const band of bands) {
      if (band.ready.size === 0) continue;
      if (!isFirst && now - band.servedAt >= ageing) overdue.push(band);
      isFirst = false;
    }
    return overdue.sort((a, b) => a.servedAt - b.servedAt);
  }

  #bandOf(priority: number): Band<W> {
    let index = 0;
    while (index < this.#bands.length && this.#bands[index]!.priority < priority) index += 1;
    const found = this.#bands[index];
    if (found !== undefined && found.priority === priority) return found;
    const band: Band<W> = { priority, files: new Map(), ready: new Heap(goesBefore), servedAt: this.#moment.now };
    this.#bands.splice(index, 0, band);
    return band;
  }
}

/** The jobs of a band as they would go if each took what it is expected to. */
function* walk<W extends Waiter>({ ready }: Band<W>): Generator<W, void, undefined> {
  if (ready.size === 0) return;
  if (ready.size === 1) {
    for (let { first: place } = ready.first!; place !== null; place = place.after) yield place.waiter;
    return;
  }
  // The last is the next. Files join when the one above theirs in the heap has come, so that a short walk sees few of them.
  const next: Step<W>[] = [stepTo(ready.first!.first!, ready.first!.tab.counter)];
  for (let step = next.pop(); step !== undefined; step = next.pop()) {
    const { counter, place } = step;
    yield place.waiter;
    const { file, waiter } = place;
    const after = counter + expectedTokens(waiter.job, file.tab.pool) / file.tab.weight;
    if (place.after !== null) insert(next, stepTo(place.after, after));
    if (place !== file.first) continue;
    for (const { first, tab } of ready.below(file)) insert(next, stepTo(first!, tab.counter));
  }
}

function stepTo<W extends Waiter>(place: Place<W>, counter: number): Step<W> {
  return { place, counter };
}

/** Into a list sorted from last to first. */
function insert<W extends Waiter>(steps: Step<W>[], step: Step<W>): void {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (precedes(step, steps[middle]!)) low = middle + 1;
    else high = middle;
  }
  steps.splice(low, 0, step);
}

function precedes<W extends Waiter>(a: Step<W>, b: Step<W>): boolean {
  return a.counter === b.counter ? isOlder(a.place, b.place) : a.counter < b.counter;
}

function goesBefore<W extends Waiter>(a: File<W>, b: File<W>): boolean {
  const difference = a.tab.counter - b.tab.counter;
  if (difference !== 0) return difference < 0;
  return a.first !== null && (b.first === null || isOlder(a.first, b.first));
}

/** Who comes back after a failed attempt has waited since it first came. */
export function isOlder<W extends Waiter>(a: Place<W>, b: Place<W>): boolean {
  return a.waiter.since === b.waiter.since ? a.arrival < b.arrival : a.waiter.since < b.waiter.since;
}
