/**
 * Which models exist where: the fleet's inventories as one, answered from memory. A model is listed while some backend
 * that may serve it is not down; when all are down, as it was last known.
 */
import { modelFilter } from './backend.ts';
import { isInUse } from './backend-view.ts';
import type { Emit } from './events.ts';
import type { BackendView, Fleet } from './fleet.ts';
import { parseModelName } from './model-name.ts';
import { isReachable } from './placement.ts';
import type { BackendId, InstalledModel, ModelName, ResidentModel } from './types.ts';
import { lowestVersion } from './version.ts';

/** One model of the fleet. */
export interface CatalogueModel {
  readonly name: ModelName;
  /** The entry of /api/tags that stands for all: of the digest most backends have, the newest. Every field as it came. */
  readonly entry: InstalledModel;
  /** In the fleet's order. */
  readonly backends: readonly BackendId[];
  /** Digest → the backends that have it. More than one means that the same name is not the same model everywhere. */
  readonly digests: ReadonlyMap<string, readonly BackendId[]>;
}

/** A model in some backend's memory. */
export interface CatalogueResident {
  readonly name: ModelName;
  /** The entry of /api/ps that stands for all: the one that stays longest. */
  readonly entry: ResidentModel;
  readonly backends: readonly BackendId[];
}

/** An entry of /v1/models, as Ollama renders it. */
export interface OpenAiModel {
  readonly id: string;
  readonly object: 'model';
  /** Unix seconds of the model's `modified_at`; 0 when it has none. */
  readonly created: number;
  readonly owned_by: string;
}

export interface Catalogue {
  /** Newest first, as Ollama lists them. Render `entry.raw`. */
  installed(): readonly CatalogueModel[];
  /** By name. Render `entry.raw`. */
  resident(): readonly CatalogueResident[];
  /** In the order of `installed`. */
  openAiModels(): readonly OpenAiModel[];
  /** By canonical name; null when no backend is known to have it. */
  find(model: ModelName): CatalogueModel | null;
  /** The lowest version among backends in use; of all that ever told one when none is; null when none has. */
  version(): string | null;
}

export function createCatalogue({ fleet, emit }: { readonly fleet: Fleet; readonly emit: Emit }): Catalogue {
  const told = new Map<ModelName, string>();

  const inventory = remembered(
    () => fleet.revision.inventory,
    () => {
      const backends = fleet.view();
      const models = mergeInstalled(backends);
      tellSkew(models, told, emit);
      return {
        models,
        byName: new Map(models.map((model) => [model.name, model])),
        openAi: models.map(openAiModel),
        version: fleetVersion(backends),
      };
    },
  );
  const residents = remembered(
    () => fleet.revision.residents,
    () => mergeResident(fleet.view()),
  );

  return {
    installed: () => inventory().models,
    resident: () => residents(),
    openAiModels: () => inventory().openAi,
    find: (model) => inventory().byName.get(model) ?? null,
    version: () => inventory().version,
  };
}

/** Pure: one list out of many. */
export function mergeInstalled(backends: readonly BackendView[]): readonly CatalogueModel[] {
  const found = new Map<ModelName, { entry: InstalledModel; backend: BackendId }[]>();
  for (const { id, spec, installed } of listed(backends)) {
    const allows = spec.models === null ? null : modelFilter(spec.models);
    for (const entry of installed ?? []) {
      if (allows !== null && !allows(entry.name)) continue;
      const copies = found.get(entry.name);
      if (copies === undefined) found.set(entry.name, [{ entry, backend: id }]);
      else copies.push({ entry, backend: id });
    }
  }
  const models = [...found].map(([name, copies]) => {
    const digests = new Map<string, BackendId[]>();
    for (const { entry, backend } of copies) {
      const holders = digests.get(entry.digest);
      if (holders === undefined) digests.set(entry.digest, [backend]);
      else holders.push(backend);
    }
    const backendIds = [...new Set(copies.map((copy) => copy.backend))];
    return {
      name,
      entry: representative(
        copies.map((copy) => copy.entry),
        digests,
      ),
      backends: backendIds,
      digests,
    };
  });
  return models.sort((a, b) => modifiedSeconds(b.entry) - modifiedSeconds(a.entry) || (a.name < b.name ? -1 : 1));
}

/** Pure: the digest a model has on one backend; null when it is not known to be there. */
export function digestOn(backends: readonly BackendView[], id: BackendId, model: ModelName): string | null {
  const installed = backends.find((backend) => backend.id === id)?.installed;
  return installed?.find(({ name }) => name === model)?.digest ?? null;
}

/** Pure: the backends where a model has just this digest. */
export function holdersOfDigest(
  backends: readonly BackendView[],
  model: ModelName,
  digest: string,
): readonly BackendId[] {
  return backends.filter(({ id }) => digestOn(backends, id, model) === digest).map(({ id }) => id);
}

/** Pure: what is in memory anywhere, one entry a model. */
export function mergeResident(backends: readonly BackendView[]): readonly CatalogueResident[] {
  const found = new Map<ModelName, { entry: ResidentModel; backends: BackendId[] }>();
  for (const { id, resident, state } of backends) {
    if (!isReachable({ state })) continue;
    for (const entry of resident ?? []) {
      const known = found.get(entry.name);
      if (known === undefined) {
        found.set(entry.name, { entry, backends: [id] });
        continue;
      }
      if (!known.backends.includes(id)) known.backends.push(id);
      if ((entry.expiresAt ?? Infinity) > (known.entry.expiresAt ?? Infinity)) known.entry = entry;
    }
  }
  return [...found].map(([name, rest]) => ({ name, ...rest })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function listed(backends: readonly BackendView[]): readonly BackendView[] {
  // What a sleeping machine has can be asked for: that wakes it.
  const alive = backends.filter((backend) => isReachable(backend) || backend.spec.wake !== undefined);
  return alive.length > 0 ? alive : backends;
}

function representative(
  copies: readonly InstalledModel[],
  digests: ReadonlyMap<string, readonly BackendId[]>,
): InstalledModel {
  return copies.reduce((best, copy) => {
    const more = digests.get(copy.digest)!.length - digests.get(best.digest)!.length;
    return more > 0 || (more === 0 && modifiedSeconds(copy) > modifiedSeconds(best)) ? copy : best;
  });
}

function fleetVersion(backends: readonly BackendView[]): string | null {
  const versions = (chosen: readonly BackendView[]): string[] =>
    chosen.flatMap((backend) => (backend.version === null ? [] : [backend.version]));
  const inUse = versions(backends.filter(isInUse));
  return lowestVersion(inUse.length > 0 ? inUse : versions(backends));
}

function openAiModel({ name, entry }: CatalogueModel): OpenAiModel {
  const parts = parseModelName(name);
  return {
    id: typeof entry.raw['name'] === 'string' ? entry.raw['name'] : name,
    object: 'model',
    created: Math.max(0, modifiedSeconds(entry)),
    owned_by: typeof parts === 'string' ? 'library' : parts.namespace,
  };
}

/** Whole seconds, as Ollama compares them; 0 when the entry does not tell. */
function modifiedSeconds({ raw }: InstalledModel): number {
  const at = typeof raw['modified_at'] === 'string' ? Date.parse(raw['modified_at']) : Number.NaN;
  return Number.isNaN(at) ? 0 : Math.floor(at / 1000);
}

/** Once per new set of digests of a model, and again if it returns after having been resolved. */
function tellSkew(models: readonly CatalogueModel[], told: Map<ModelName, string>, emit: Emit): void {
  const skewed = new Set<ModelName>();
  for (const { name, digests } of models) {
    if (digests.size < 2) continue;
    skewed.add(name);
    const sorted = [...digests.keys()].sort();
    if (told.get(name) === sorted.join()) continue;
    told.set(name, sorted.join());
    emit({ kind: 'digest-skew', model: name, digests: sorted });
  }
  for (const name of told.keys()) if (!skewed.has(name)) told.delete(name);
}

/** Computes again only when the revision has changed. */
function remembered<T>(revision: () => number, compute: () => T): () => T {
  let last: { readonly revision: number; readonly value: T } | null = null;
  return () => {
    const current = revision();
    if (last === null || last.revision !== current) last = { revision: current, value: compute() };
    return last.value;
  };
}
