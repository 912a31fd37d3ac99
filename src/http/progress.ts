/**
 * Several backends' progress as one, such that an unmodified `ollama pull` shows it sensibly. Its bar for a layer keeps the total
 * of the first line about it, so totals are not added up: a layer has its own size, and `completed` is the mean over the backends
 * that are still in it. It never falls, and it reaches the total when the last of them has the layer. Digests are those of the
 * backends and never made up here: the command line cuts characters 7 to 19 out of them, and fails where there are none.
 */

/** What the merged stream has to say now; whole lines of NDJSON without their ends. */
export type ProgressLines = readonly string[];

export interface ProgressMerge {
  /** A backend said this line. */
  line(backend: string, text: string): ProgressLines;
  /** A backend will say no more, and has not succeeded. Ignored when it has ended already. */
  failed(backend: string, reason: string): ProgressLines;
  hasSucceeded(backend: string): boolean;
  /** The last lines: what failed, then `success` when any backend succeeded; otherwise one error and nothing else. */
  finish(): ProgressLines;
  /** Backend → why, in the order they were given. */
  readonly failures: ReadonlyMap<string, string>;
}

interface Branch {
  state: 'running' | 'done' | 'failed';
  /** Why it failed. */
  reason: string;
  readonly said: Set<string>;
  /** Digest → bytes that are there. */
  readonly layers: Map<string, number>;
}

interface Layer {
  readonly status: string;
  total: number;
  /** What the merged stream said last; null when it has not mentioned the layer. */
  told: number | null;
}

/** Of one operation; what a backend says beyond them is not passed on. */
const MOST_LAYERS = 10_000;
const MOST_STATUSES = 1000;

export function createProgressMerge(backends: readonly string[]): ProgressMerge {
  return new Merge(backends);
}

class Merge implements ProgressMerge {
  readonly #branches: ReadonlyMap<string, Branch>;
  readonly #layers = new Map<string, Layer>();
  /** In the order first heard; true when told. */
  readonly #statuses = new Map<string, boolean>();

  constructor(backends: readonly string[]) {
    this.#branches = new Map(
      backends.map((backend) => [backend, { state: 'running', reason: '', said: new Set(), layers: new Map() }]),
    );
  }

  get failures(): ReadonlyMap<string, string> {
    const failed = [...this.#branches].filter(([, { state }]) => state === 'failed');
    return new Map(failed.map(([backend, { reason }]) => [backend, reason]));
  }

  line(backend: string, text: string): ProgressLines {
    const branch = this.#branches.get(backend);
    const said = parsed(text);
    if (branch === undefined || branch.state !== 'running' || said === null) return [];
    const { status, digest, error } = said;
    if (typeof error === 'string') return this.failed(backend, error);
    if (typeof status !== 'string') return [];
    if (status === 'success') {
      branch.state = 'done';
      return this.#branchEnded();
    }
    if (typeof digest === 'string' && digest !== '') return this.#layerSaid(branch, digest, said);
    return this.#statusSaid(branch, status);
  }

  failed(backend: string, reason: string): ProgressLines {
    const branch = this.#branches.get(backend);
    if (branch === undefined || branch.state !== 'running') return [];
    branch.state = 'failed';
    branch.reason = reason.slice(0, 1000);
    return this.#branchEnded();
  }

  hasSucceeded(backend: string): boolean {
    return this.#branches.get(backend)?.state === 'done';
  }

  finish(): ProgressLines {
    const open = [...this.#branches.keys()].flatMap((backend) => this.failed(backend, 'it ended without saying how'));
    const { failures } = this;
    if (failures.size === this.#branches.size) return [JSON.stringify({ error: failureText(failures) })];
    const failed = [...failures].map(([backend, reason]) => JSON.stringify({ status: `${backend} failed: ${reason}` }));
    return [...open, ...failed, JSON.stringify({ status: 'success' })];
  }

  #layerSaid(branch: Branch, digest: string, said: Said): ProgressLines {
    let layer = this.#layers.get(digest);
    if (layer === undefined) {
      if (this.#layers.size >= MOST_LAYERS) return [];
      layer = { status: String(said.status), total: 0, told: null };
      this.#layers.set(digest, layer);
    }
    layer.total = Math.max(layer.total, bytes(said.total));
    branch.layers.set(digest, Math.max(branch.layers.get(digest) ?? 0, bytes(said.completed)));
    return this.#tellLayer(digest, layer);
  }

  #tellLayer(digest: string, layer: Layer): ProgressLines {
    const now = Math.max(layer.told ?? 0, Math.min(layer.total, this.#mean(digest, layer.total)));
    if (now === layer.told) return [];
    layer.told = now;
    const total = layer.total > 0 ? { total: layer.total } : {};
    const completed = now > 0 ? { completed: now } : {};
    return [JSON.stringify({ status: layer.status, digest, ...total, ...completed })];
  }

  /** Whole bytes, over the backends that have not failed; who has succeeded has every layer. */
  #mean(digest: string, total: number): number {
    let sum = 0;
    let count = 0;
    for (const { state, layers } of this.#branches.values()) {
      if (state === 'failed') continue;
      count += 1;
      sum += state === 'done' ? total : (layers.get(digest) ?? 0);
    }
    return count === 0 ? 0 : Math.floor(sum / count);
  }

  #statusSaid(branch: Branch, status: string): ProgressLines {
    if (!this.#statuses.has(status)) {
      if (this.#statuses.size >= MOST_STATUSES) return [];
      this.#statuses.set(status, false);
    }
    branch.said.add(status);
    return this.#tellStatuses();
  }

  /** The first status at once, so that something is seen; later ones when every backend at work has come as far. */
  #tellStatuses(): ProgressLines {
    const lines: string[] = [];
    let isFirst = true;
    for (const [status, isTold] of this.#statuses) {
      if (!isTold && (isFirst || this.#isReached(status))) {
        this.#statuses.set(status, true);
        lines.push(JSON.stringify({ status }));
      }
      isFirst = false;
    }
    return lines;
  }

  #isReached(status: string): boolean {
    const counted = [...this.#branches.values()].filter(({ state }) => state !== 'failed');
    return (
      counted.some(({ said }) => said.has(status)) &&
      counted.every(({ state, said }) => state === 'done' || said.has(status))
    );
  }

  #branchEnded(): ProgressLines {
    const someCount = [...this.#branches.values()].some(({ state }) => state !== 'failed');
    if (!someCount) return [];
    return [...[...this.#layers].flatMap(([digest, layer]) => this.#tellLayer(digest, layer)), ...this.#tellStatuses()];
  }
}

/** One sentence for several failures; a text they have in common is said once, as it is. */
export function failureText(failures: ReadonlyMap<string, string>): string {
  const texts = new Set(failures.values());
  const [only] = texts;
  if (texts.size === 1 && only !== undefined) return only;
  return [...failures].map(([backend, reason]) => `${backend}: ${reason}`).join('; ');
}

interface Said {
  readonly status?: unknown;
  readonly digest?: unknown;
  readonly total?: unknown;
  readonly completed?: unknown;
  readonly error?: unknown;
}

function parsed(text: string): Said | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}

function bytes(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
