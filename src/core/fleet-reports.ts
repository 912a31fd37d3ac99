/**
 * What reporters say of one backend, written into its row of the fleet's table. Nothing is concluded here: that is for `conclude`,
 * when the row is settled.
 */
import type { BreakerState, Emit } from './events.ts';
import { modelCredit, type Entry } from './fleet-entry.ts';
import { paroled, probeFailed, probeSucceeded, trustAfterOutage, wedged, type HealthOptions } from './health.ts';
import type { Observation } from './observation.ts';
import type { InstalledModel, Millis, ModelName, ResidentModel } from './types.ts';

/** A list that is made of several rows and has to be made again: of what is installed, of what is in memory, of who may be used. */
export type Changed = 'inventory' | 'residents' | 'use';

export interface ReportContext {
  readonly now: Millis;
  readonly options: HealthOptions;
  readonly emit: Emit;
}

/** Which lists may have changed by it. */
export function takeIn(entry: Entry, observation: Observation, context: ReportContext): readonly Changed[] {
  switch (observation.kind) {
    case 'alive':
      return learnAlive(entry, observation.version, context);
    case 'probe-failed':
      entry.liveness = probeFailed(entry.liveness, observation.reason, context.options);
      entry.lastError = observation.reason;
      return [];
    case 'inventory':
      return learnInventory(entry, observation.models);
    case 'resident':
      return learnResidents(entry, observation.models, context);
    case 'loaded':
    case 'unloaded':
      return learnPlaced(entry, observation, context);
    case 'breaker':
      return learnBreaker(entry, observation.state, observation.reason, context);
    case 'suspected':
      return suspect(entry, observation.model, observation.reason, context);
    case 'unsuspected':
      return suspect(entry, observation.model, null, context);
    case 'wedged':
    case 'unwedged':
      return learnWedge(entry, observation, context);
    case 'waking':
      entry.wakingUntil = observation.until;
      return [];
    case 'admin':
      entry.admin = observation.state;
      return [];
  }
}

function learnAlive(entry: Entry, version: string | null, { now, options }: ReportContext): readonly Changed[] {
  const wasDown = entry.liveness.verdict === 'down';
  entry.liveness = probeSucceeded(entry.liveness, options);
  if (wasDown && entry.liveness.verdict === 'up') reviveTrust(entry, now);
  if (entry.version === version) return [];
  entry.version = version;
  return ['inventory'];
}

/** After an outage nothing that happened before it counts, neither for the backend nor for a model there. */
function reviveTrust(entry: Entry, now: Millis): void {
  // An ejection stands: a green probe does not undo what requests have shown.
  if (entry.credit.trust.standing.kind === 'trusted') entry.credit.trust = trustAfterOutage(entry.credit.trust, now);
}

function learnInventory(entry: Entry, models: readonly InstalledModel[]): readonly Changed[] {
  if (entry.installed !== null && sameInventory(entry.installed, models)) return [];
  entry.installed = models;
  entry.installedNames = new Set(models.map((model) => model.name));
  return ['inventory'];
}

/** Whether two lists of `/api/tags` say the same. */
function sameInventory(a: readonly InstalledModel[], b: readonly InstalledModel[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((model, index) => {
    const other = b[index];
    return (
      other !== undefined &&
      other.name === model.name &&
      other.digest === model.digest &&
      other.raw['modified_at'] === model.raw['modified_at']
    );
  });
}

function learnResidents(
  entry: Entry,
  models: readonly ResidentModel[],
  { emit, now }: ReportContext,
): readonly Changed[] {
  const names = new Set(models.map((model) => model.name));
  const backend = entry.spec.id;
  for (const model of names) {
    if (!entry.residentNames.has(model)) emit({ kind: 'model-loaded', backend, model, reason: 'seen in memory' });
  }
  for (const model of entry.residentNames) {
    if (!names.has(model)) emit({ kind: 'model-unloaded', backend, model, reason: 'no longer in memory' });
  }
  entry.resident = models;
  entry.residentAt = now;
  entry.residentNames = names;
  return ['residents'];
}

/** Told once: when the next list of residents agrees, nothing has changed. */
function learnPlaced(
  entry: Entry,
  { kind, model, ms, reason }: Extract<Observation, { kind: 'loaded' | 'unloaded' }>,
  { emit }: ReportContext,
): readonly Changed[] {
  const names = new Set(entry.residentNames);
  if (kind === 'loaded') names.add(model);
  else names.delete(model);
  entry.residentNames = names;
  emit({ kind: `model-${kind}`, backend: entry.spec.id, model, reason, ms });
  return ['residents'];
}

function learnBreaker(entry: Entry, state: BreakerState, reason: string, { emit }: ReportContext): readonly Changed[] {
  if (entry.breaker === state) return [];
  emit({ kind: 'breaker-state', backend: entry.spec.id, from: entry.breaker, to: state, reason });
  entry.breaker = state;
  entry.breakerReason = reason;
  return [];
}

function suspect(entry: Entry, model: ModelName, suspicion: string | null, { now }: ReportContext): readonly Changed[] {
  modelCredit(entry, model, now).suspicion = suspicion;
  return ['use'];
}

function learnWedge(
  entry: Entry,
  observation: Extract<Observation, { kind: 'wedged' | 'unwedged' }>,
  { now, options }: ReportContext,
): readonly Changed[] {
  const credit = modelCredit(entry, observation.model, now);
  credit.suspicion = null;
  if (observation.kind === 'wedged') {
    credit.trust = wedged(credit.trust, observation.reason, now, options);
    credit.wedged = true;
  } else if (credit.wedged === true) credit.trust = paroled(credit.trust, now);
  return ['use'];
}
