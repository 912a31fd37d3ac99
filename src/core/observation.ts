/** Everything the world may tell the fleet about a backend. Reporters report; the fleet alone concludes. */
import type { BreakerState } from './events.ts';
import type { InstalledModel, Millis, ModelName, ResidentModel } from './types.ts';

export type Observation =
  /** A liveness probe succeeded; `version` as `/api/version` gave it, null when it could not be read. */
  | { readonly kind: 'alive'; readonly version: string | null }
  | { readonly kind: 'probe-failed'; readonly reason: string }
  /** The whole of `/api/tags`. */
  | { readonly kind: 'inventory'; readonly models: readonly InstalledModel[] }
  /** The whole of `/api/ps`. */
  | { readonly kind: 'resident'; readonly models: readonly ResidentModel[] }
  /** The gateway itself has loaded or unloaded a model; `/api/ps` will say the same, later. */
  | {
      readonly kind: 'loaded' | 'unloaded';
      readonly model: ModelName;
      readonly reason: string;
      readonly ms: Millis;
    }
  /** The model owes an answer there for longer than is usual. */
  | { readonly kind: 'suspected'; readonly model: ModelName; readonly reason: string }
  /** It has answered, or owes nothing any more. */
  | { readonly kind: 'unsuspected'; readonly model: ModelName }
  /** The model hangs there while probes succeed. */
  | { readonly kind: 'wedged'; readonly model: ModelName; readonly reason: string }
  /** It was unloaded, or answered after all: a trial may show that it works. */
  | { readonly kind: 'unwedged'; readonly model: ModelName }
  /** It is being woken, and may take until then to answer. */
  | { readonly kind: 'waking'; readonly until: Millis }
  | { readonly kind: 'breaker'; readonly state: BreakerState; readonly reason: string }
  /** The operator's word. It survives a reload. */
  | { readonly kind: 'admin'; readonly state: 'active' | 'draining' };
