/** What observe wants to see of the fleet when it is scraped; core's own views have all of it. */
import type { BackendView as FleetBackendView } from '../core/fleet.ts';
import type { ModelName } from '../core/types.ts';

export type BackendView = Pick<
  FleetBackendView,
  'id' | 'state' | 'breaker' | 'slots' | 'inFlight' | 'inFlightByModel' | 'resident' | 'version'
>;

export interface FleetView {
  readonly backends: readonly BackendView[];
  /** Waiting requests by model; null for those that need none. */
  readonly waiting: ReadonlyMap<ModelName | null, number>;
}
