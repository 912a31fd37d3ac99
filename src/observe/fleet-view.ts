/** What observe wants to see of the fleet when it is scraped. app.ts makes one out of core's. */
import type { BackendState, BreakerState } from '../core/events.ts';
import type { BackendId, ModelName } from '../core/types.ts';

export interface FleetView {
  readonly backends: readonly BackendView[];
  /** Waiting requests by model; null for those that need none. */
  readonly waiting: ReadonlyMap<ModelName | null, number>;
}

export interface BackendView {
  readonly id: BackendId;
  readonly state: BackendState;
  readonly breaker: BreakerState;
  /** Concurrent requests it is given; may be Infinity. */
  readonly slots: number;
  /** Requests it works on, by model; null for those that need none. */
  readonly inFlight: ReadonlyMap<ModelName | null, number>;
  readonly resident: readonly { readonly name: ModelName; readonly vramBytes: number }[];
  /** As the backend answered `/api/version`; null before it did. */
  readonly version: string | null;
  readonly simulated: boolean;
}
