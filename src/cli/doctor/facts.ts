/** What a diagnosis is made from. Gathered by `gather.ts`, judged by `checks.ts`. */
import type { Millis } from '../../core/types.ts';

export interface Facts {
  readonly backends: readonly BackendFacts[];
  /** Models that the configuration wants on so many backends. */
  readonly required: readonly { readonly model: string; readonly wanted: number; readonly pulls: boolean }[];
  /** Whether backends were configured, found on this machine, or are to be simulated. */
  readonly source: 'configured' | 'local' | 'simulated' | 'none';
  readonly listen: PortFacts;
  readonly admin: PortFacts;
  /** What the running gateway has seen; null when none answers, or it does not let us look. */
  readonly gateway: GatewayFacts | null;
  /** Files the process may have open; null when this system does not say. */
  readonly openFiles: number | null;
  /** Files that as many requests as the configuration lets in at a time would need. */
  readonly filesNeeded: number;
  /** Epoch milliseconds. */
  readonly now: number;
}

export interface BackendFacts {
  readonly name: string;
  readonly url: string;
  /** Requests at a time, as the configuration tells; null when it leaves that to be learnt. */
  readonly told: number | null;
  readonly answer: BackendAnswer;
  /** Network addresses behind its name, with the port. */
  readonly addresses: readonly string[];
  /** Its clock minus ours; null when it does not say. */
  readonly skewMs: Millis | null;
  /** When its certificate ends, in epoch milliseconds; null without TLS. */
  readonly certificateEnds: number | null;
  /** Null when it did not tell. */
  readonly models: readonly { readonly name: string; readonly digest: string }[] | null;
  readonly resident: readonly ResidentFacts[] | null;
}

export interface ResidentFacts {
  readonly name: string;
  readonly contextLength: number | null;
  /** As written, to the nanosecond: no two servers agree in it by chance. */
  readonly expiresAt: string;
}

export type BackendAnswer =
  | { readonly kind: 'ollama'; readonly version: string; readonly tookMs: Millis }
  /** `asLocal` is the status under the name `localhost`, tried after a 403. */
  | { readonly kind: 'status'; readonly status: number; readonly asLocal: number | null }
  /** 200, but not what an Ollama says. */
  | { readonly kind: 'strange' }
  | { readonly kind: 'unanswered'; readonly code: string; readonly message: string };

export interface PortFacts {
  /** As configured, e.g. `127.0.0.1:11435`. */
  readonly address: string;
  readonly state: 'free' | 'gateway' | 'ollama' | 'taken' | 'forbidden' | 'not-ours';
}

export interface GatewayFacts {
  readonly uptimeMs: Millis;
  readonly runners: readonly RunnerFacts[];
  /** Models loaded since the start, by backend and model. */
  readonly loads: readonly { readonly backend: string; readonly model: string; readonly count: number }[];
}

/** A model on a backend as requests have shown it. */
export interface RunnerFacts {
  readonly backend: string;
  readonly model: string;
  /** The options it was loaded with; '' for the backend's own. */
  readonly options: string;
  /** More requests at a time had to wait inside the backend; null while that has not shown. */
  readonly slotsAtMost: number | null;
}

export interface Finding {
  readonly level: 'error' | 'warning';
  /** The kind of fault, in a word or two with dashes. */
  readonly code: string;
  /** The backend, address or model it is about. */
  readonly about: string;
  /** What is wrong, as a sentence without its subject and its full stop. */
  readonly problem: string;
  /** What to do next. */
  readonly fix: string;
}
