/** A backend as it is shown: a row of the fleet's table, without what only the fleet needs. */
import type { BackendSpec } from './backend.ts';
import type { BackendState, BreakerState } from './events.ts';
import type { Entry } from './fleet-entry.ts';
import type { BackendId, InstalledModel, Millis, ModelName, ResidentModel } from './types.ts';

/** What lists, metrics, the banner and the admin API see of a backend. */
export interface BackendView {
  readonly id: BackendId;
  readonly spec: BackendSpec;
  readonly state: BackendState;
  /** Why the state is not `up`; '' when it is. */
  readonly reason: string;
  readonly version: string | null;
  readonly slots: number;
  readonly inFlight: number;
  readonly inFlightByModel: ReadonlyMap<ModelName, number>;
  /** Null until the first inventory. */
  readonly installed: readonly InstalledModel[] | null;
  /** Null until first told. */
  readonly resident: readonly ResidentModel[] | null;
  /** When it was told. */
  readonly residentAt: Millis;
  readonly breaker: BreakerState;
  readonly lastError: string | null;
  /** Models ejected, on probation or suspected there, with the reason. */
  readonly troubled: readonly { readonly model: ModelName; readonly reason: string }[];
}

/** Whether requests are sent to one in this state; to one on probation, few. */
export function isInUse({ state }: Pick<BackendView, 'state'>): boolean {
  return state === 'up' || state === 'probation';
}

export function viewOf(entry: Entry): BackendView {
  const troubled: { model: ModelName; reason: string }[] = [];
  for (const [model, { suspicion, trust }] of entry.models) {
    if (trust.standing.kind === 'trusted' && typeof suspicion === 'string') troubled.push({ model, reason: suspicion });
    if (trust.standing.kind === 'ejected') troubled.push({ model, reason: trust.standing.reason });
    if (trust.standing.kind === 'probation') troubled.push({ model, reason: 'its ejection is over' });
  }
  return {
    id: entry.spec.id,
    spec: entry.spec,
    state: entry.state,
    reason: entry.reason,
    version: entry.version,
    slots: entry.slots,
    inFlight: entry.inFlight,
    inFlightByModel: entry.inFlightByModel,
    installed: entry.installed,
    resident: entry.resident,
    residentAt: entry.residentAt,
    breaker: entry.breaker,
    lastError: entry.lastError,
    troubled,
  };
}
