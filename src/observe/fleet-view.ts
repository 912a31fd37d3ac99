/** What observe wants to see of the fleet when it is scraped; core's own views have all of it. */
import type { BackendView as FleetBackendView } from '../core/fleet.ts';
import type { WaitingView } from '../core/queue.ts';
import type { RequiredModel } from '../core/required.ts';

export type BackendView = Pick<
  FleetBackendView,
  'id' | 'state' | 'breaker' | 'slots' | 'inFlight' | 'inFlightByModel' | 'resident' | 'version'
>;

export interface FleetView {
  readonly backends: readonly BackendView[];
  /** How often requests were let in or refused, by outcome: a closed set. */
  readonly auth: Readonly<Record<string, number>>;
  readonly queue: {
    /** How many may wait. */
    readonly limit: number;
    readonly jobs: readonly Pick<WaitingView, 'model' | 'bytes' | 'priority'>[];
  };
  /** None when absent. */
  readonly required?: readonly Pick<RequiredModel, 'model' | 'wanted' | 'holders'>[];
}
