/**
 * The vocabulary. One word per thing, used with this meaning in every room (docs/style.md).
 * Nothing in core reads a clock or draws a number: `Clock` and `Rng` are handed in.
 */

/** A backend's configured name: `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 63 characters, safe as a metric label. */
export type BackendId = string;

/** A model's canonical name (core/model-name.ts): lower case, defaults spelled out, e.g. `llama3.2:3b`, `ns/m:latest`. */
export type ModelName = string;

/**
 * What Ollama keeps in memory: one weights blob with one set of runner options (ollama-wire §2.3). Two requests with the
 * same key share a runner; two keys on one backend force a reload or a second place.
 */
export type RunnerKey = string;

/** Who calls: a key's id, a trusted user header, or an address. Never a credential. */
export type ClientId = string;

/** Monotonic milliseconds since an arbitrary start (`Clock.now`), or a length of time in milliseconds. */
export type Millis = number;

/** Whether somebody has left, and a call when they do: what is needed of an AbortSignal, at a fraction of its cost. */
export interface Departure {
  readonly aborted: boolean;
  addEventListener(type: 'abort', run: () => void, options?: { readonly once?: boolean }): void;
  removeEventListener(type: 'abort', run: () => void): void;
}

/** How busy the process itself is. */
export interface LoadSample {
  /** How late the event loop's timers were, 99th percentile since the last sample. */
  readonly loopDelayMs: Millis;
  readonly memoryBytes: number;
}

export type NonEmpty<T> = readonly [T, ...T[]];

/** Monotonic time, and one-shot timers on it. The only clock core and dialects know. */
export interface Clock {
  now(): Millis;
  after(delayMs: Millis, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Uniform luck in [0, 1). Seeded in tests and simulations. */
export interface Rng {
  next(): number;
}

/** What a request wants from a model. `load` and `unload` are Ollama's empty prompts (ollama-wire §1). */
export type Task = 'generate' | 'chat' | 'embed' | 'transcribe' | 'load' | 'unload';

/** A position in a prompt at a message boundary: everything up to it, hashed (keyed), and its length. Shortest first. */
export interface PrefixMark {
  readonly hash: string;
  /** Estimated tokens from the start of the prompt to this boundary. */
  readonly tokens: number;
}

/** What core sees of a request. */
export interface Job {
  /** The request id, as in logs and headers. */
  readonly id: string;
  readonly client: ClientId;
  /** The caller's IP address, for ip-hash. */
  readonly address: string;
  /** The canonical model the request will run, after aliases; null when it needs none. */
  readonly model: ModelName | null;
  readonly task: Task;
  /** Whether its answer comes as it is made; one that comes whole is silent until its end. Absent: it comes whole. */
  readonly streams?: boolean;
  /** Canonical text of the runner-shaping options the request states; '' when it states none. */
  readonly runnerOptions: string;
  /** Estimated prompt tokens (bytes / 4 of the text). */
  readonly promptTokens: number;
  /** The most output tokens the request asks for; null when it sets no limit. */
  readonly maxOutputTokens: number | null;
  /** An explicit session key the client sent (clients.md 1.4), already hashed; null when it sent none. */
  readonly session: string | null;
  readonly prefix: readonly PrefixMark[];
  /** Priority class; 0 is served first. */
  readonly priority: number;
  /** Of its body, which is kept while it waits. */
  readonly bytes?: number;
  /** What the client is granted of the queue and the slots; without it a weight of 1 and no bounds. */
  readonly share?: Share;
  /** Restricts the job to these backends, when given. */
  readonly only?: readonly BackendId[];
}

/** What a client is granted of what all clients share. A grant (core/grants.ts) is one. */
export interface Share {
  /** Relative to the other clients of its priority class. */
  readonly weight: number;
  /** How many of its jobs may be with a backend at a time. */
  readonly concurrency?: number;
  /** How many may wait. */
  readonly queued?: number;
}

/** What one answer reported of itself. Token counts; durations in ms. Absent fields are unknown. */
export interface Usage {
  readonly promptTokens?: number;
  readonly outputTokens?: number;
  /** Ollama's load_duration: until a runner was granted (its queue + load). */
  readonly loadMs?: Millis;
  /** Time really spent on prompt tokens; small when the prefix was cached. */
  readonly promptMs?: Millis;
  readonly outputMs?: Millis;
  readonly totalMs?: Millis;
}

/** Where a request was when something happened to it. */
export type Phase = 'receiving' | 'queued' | 'connecting' | 'waiting' | 'streaming';

/** How an attempt ended. A client's leaving says nothing about the backend. */
export type Outcome =
  | { readonly kind: 'done'; readonly usage: Usage; readonly firstByteMs: Millis | null }
  | { readonly kind: 'client-gone'; readonly phase: Phase; readonly usage: Usage }
  /** The backend answered with a client's mistake or another answer that speaks neither for nor against it. */
  | { readonly kind: 'neutral'; readonly reason: string }
  /** The backend's own queue is full: not its fault, but nothing should be sent there for a moment. */
  | { readonly kind: 'busy' }
  | {
      readonly kind: 'failed';
      readonly failure: string;
      readonly against: 'backend' | 'model';
      readonly committed: boolean;
    };

/**
 * Why a backend was chosen; also the value of `x-llamero-route`. `placement`: the request needs no slot, and went where its
 * placement or the order of the backends says.
 */
export type RouteReason = 'only' | 'warm' | 'sticky' | 'least-busy' | 'cold' | 'policy' | 'placement';

/** One entry of /api/tags as a backend gave it; every field is kept in `raw`. */
export interface InstalledModel {
  readonly name: ModelName;
  /** sha256 of the manifest, 64 hex digits, as Ollama gives it. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly raw: Readonly<Record<string, unknown>>;
}

/** One entry of /api/ps as a backend gave it. */
export interface ResidentModel {
  readonly name: ModelName;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly vramBytes: number;
  readonly contextLength: number | null;
  /** Epoch milliseconds, for display only; null when unknown. */
  readonly expiresAt: number | null;
  readonly raw: Readonly<Record<string, unknown>>;
}
