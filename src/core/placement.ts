/**
 * Where a request that changes models goes. Ollama has one machine and need not ask; a fleet has several, and a model that is
 * pulled, copied or deleted on some of them only is how fleets drift apart.
 */
import { Type, type Static } from 'typebox';
import { modelFilter } from './backend.ts';
import { isInUse } from './backend-view.ts';
import type { BackendState } from './events.ts';
import type { BackendView } from './fleet.ts';
import { Duration } from './options.ts';
import type { BackendId, ModelName, NonEmpty } from './types.ts';

const NAME = '[A-Za-z0-9][A-Za-z0-9._-]*';

function whereOption(description: string, fallback: 'all' | 'one' | 'owner') {
  return Type.String({ description, pattern: `^${NAME}( *, *${NAME})*$`, default: fallback });
}

export const PlacementOptions = Type.Object(
  {
    pull: whereOption(
      'Where `ollama pull` goes: `one` is every backend that has the model already, or else the one with the most room; ' +
        '`all`; or backends by name, such as `gpu1,gpu2`.',
      'one',
    ),
    push: whereOption('Which backend pushes: `owner` is one that has the model.', 'owner'),
    create: whereOption(
      'Where models are created: `owner` is every backend that has all the uploaded files, or the model it is made from; ' +
        '`all` also uploads the files to every backend.',
      'owner',
    ),
    copy: whereOption('Where models are copied: `all` is every backend that has the source.', 'all'),
    delete: whereOption('Where models are deleted: `all` is every backend that has the model.', 'all'),
    signout: whereOption(
      'Which backends sign out of ollama.com: `all`, the first (`one`), or backends by name. Each has an identity of its own.',
      'all',
    ),
    silence: Duration({
      description:
        'How long a backend may say nothing in the middle of a pull, push, create or upload; checking a large model takes minutes.',
      default: '30m',
      minimum: '1s',
    }),
    blobMemory: Duration({
      description: 'How long the gateway remembers which backend has an uploaded file, so that a create finds it.',
      default: '6h',
      minimum: '1m',
    }),
  },
  {
    additionalProperties: false,
    description:
      'Where requests that change models go. One request can say otherwise with the header `x-llamero-placement`, in the ' +
      'same words.',
  },
);
export type PlacementOptions = Static<typeof PlacementOptions>;

export type Operation = 'pull' | 'push' | 'create' | 'copy' | 'delete' | 'signout';

/** `all` that it concerns, the best `one`, the `owner`s of what the operation works on, or the backends named. */
export type Where =
  | { readonly kind: 'all' | 'one' | 'owner' }
  | { readonly kind: 'named'; readonly names: NonEmpty<BackendId> };

/** Reads `all`, `one`, `owner` or `gpu1, gpu2`; null when the text is none of them. */
export function parseWhere(text: string): Where | null {
  const trimmed = text.trim();
  if (trimmed === 'all' || trimmed === 'one' || trimmed === 'owner') return { kind: trimmed };
  const names = [...new Set(trimmed.split(',').map((name) => name.trim()))];
  const [first, ...rest] = names;
  if (first === undefined || !names.every((name) => new RegExp(`^${NAME}$`).test(name))) return null;
  return { kind: 'named', names: [first, ...rest] };
}

export interface Errand {
  readonly operation: Operation;
  /** What is pulled, pushed, created, deleted, or copied from; null when the request does not tell. */
  readonly model: ModelName | null;
  /** The model that a create starts from. */
  readonly from: ModelName | null;
  /** The backends that have every uploaded file a create refers to; null when it refers to none. */
  readonly blobHolders: ReadonlySet<BackendId> | null;
}

/** A backend that should have been asked and is not, and why, as in "gpu2 failed: it is down". */
export interface LeftOut {
  readonly backend: BackendId;
  readonly reason: string;
}

export type Placed =
  | { readonly kind: 'placed'; readonly backends: NonEmpty<BackendId>; readonly leftOut: readonly LeftOut[] }
  | {
      readonly kind: 'refused';
      readonly code: 'unknown-model' | 'no-backend' | 'bad-request';
      readonly message: string;
    };

/** Who gets the errand, in the fleet's order. */
export function place(errand: Errand, where: Where, fleet: readonly BackendView[]): Placed {
  if (where.kind === 'named') return placeNamed(where.names, fleet);
  const { operation, model } = errand;
  if (operation === 'signout') return placeSignout(where.kind, fleet);
  // A body whose model cannot be told is refused by any backend, in Ollama's words.
  if (model === null) return placeOn(bestOf(fleet.filter(isReachable)));
  switch (operation) {
    case 'pull':
      return placePull(model, where.kind, fleet);
    case 'create':
      return placeCreate(errand, where.kind, fleet);
    case 'push':
      return placeWithHolders(model, where.kind === 'all', fleet);
    case 'copy':
    case 'delete':
      return placeWithHolders(model, where.kind !== 'one', fleet);
  }
}

/** Where an upload goes whose create will be placed by `where`: to the `pinned` backend while that can take it. */
export function placeUpload(where: Where, pinned: readonly BackendId[], fleet: readonly BackendView[]): Placed {
  if (where.kind === 'named') return placeNamed(where.names, fleet);
  const takers = fleet.filter(isTaker);
  if (where.kind === 'all') return placeOn(takers);
  const kept = pinned.map((id) => takers.find((backend) => backend.id === id)).find((backend) => backend !== undefined);
  return placeOn(kept === undefined ? bestOf(takers) : [kept]);
}

/** Whether it can be asked at all: it answers probes. Draining and ejected backends can; they still have their models. */
export function isReachable({ state }: Pick<BackendView, 'state'>): boolean {
  return state !== 'down' && state !== 'waking' && state !== 'unknown';
}

/** The backends of which the catalogue lists the model, those that are down included. */
export function holdersOf(model: ModelName, fleet: readonly BackendView[]): readonly BackendView[] {
  return fleet.filter((backend) => isAllowed(backend, model) && backend.installed?.some(({ name }) => name === model));
}

/** Where a model could go that is not there yet, the most room first: backends that are up and may have it. */
export function pullTargets(model: ModelName, fleet: readonly BackendView[]): readonly BackendId[] {
  const holders = holdersOf(model, fleet);
  const takers = fleet.filter((backend) => {
    const isUp = isInUse(backend);
    return isUp && backend.installed !== null && isAllowed(backend, model) && !holders.includes(backend);
  });
  return byRoom(takers).map(({ id }) => id);
}

function placeNamed(names: NonEmpty<BackendId>, fleet: readonly BackendView[]): Placed {
  const byId = new Map(fleet.map((backend) => [backend.id, backend]));
  const stranger = names.find((name) => !byId.has(name));
  if (stranger !== undefined) return refused('bad-request', `there is no backend "${stranger}" to place this on`);
  const wanted = fleet.filter(({ id }) => names.includes(id));
  const down = wanted.filter((backend) => !isReachable(backend));
  return placeOn(wanted.filter(isReachable), down.map(isDown));
}

function placeSignout(kind: 'all' | 'one' | 'owner', fleet: readonly BackendView[]): Placed {
  const reachable = fleet.filter(isReachable);
  if (kind === 'all') return placeOn(reachable, fleet.filter((backend) => !isReachable(backend)).map(isDown));
  return placeOn(reachable.slice(0, 1));
}

/** A model that some backends have is brought up to date wherever it is, so that one name stays one model. */
function placePull(model: ModelName, kind: 'all' | 'one' | 'owner', fleet: readonly BackendView[]): Placed {
  const holders = holdersOf(model, fleet);
  const takers = fleet.filter((backend) => isTaker(backend) && isAllowed(backend, model));
  const reachable = holders.filter(isReachable);
  const down = holders.filter((backend) => !isReachable(backend)).map(isDown);
  if (kind === 'all') return placeOn(inOrder(fleet, [...reachable, ...takers]), down);
  if (reachable.length > 0) return placeOn(reachable, down);
  if (takers.length === 0) return refused('no-backend', 'no backend that may have the model can take it now');
  return placeOn(bestOf(takers));
}

function placeCreate(errand: Errand, kind: 'all' | 'one' | 'owner', fleet: readonly BackendView[]): Placed {
  const takers = fleet.filter((backend) => isTaker(backend) && isAllowed(backend, errand.model ?? ''));
  const owners = createOwners(errand, takers);
  if (kind === 'all' && errand.blobHolders === null) return placeOn(takers);
  if (kind === 'all' && owners.length > 0) {
    const lacking = takers.filter((backend) => !owners.includes(backend));
    return placeOn(
      owners,
      lacking.map(({ id }) => ({ backend: id, reason: 'it does not have the uploaded files' })),
    );
  }
  // Without an owner, whoever is asked says what is missing, or pulls what it is made from.
  if (kind === 'one' || owners.length === 0) return placeOn(bestOf(owners.length > 0 ? owners : takers));
  return placeOn(owners);
}

function createOwners({ from, blobHolders }: Errand, takers: readonly BackendView[]): readonly BackendView[] {
  const withBlobs = blobHolders === null ? takers : takers.filter(({ id }) => blobHolders.has(id));
  const withFrom = from === null ? [] : holdersOf(from, withBlobs);
  if (blobHolders === null) return withFrom;
  return withFrom.length > 0 ? withFrom : withBlobs;
}

function placeWithHolders(model: ModelName, everywhere: boolean, fleet: readonly BackendView[]): Placed {
  const holders = holdersOf(model, fleet);
  if (holders.length === 0) return refused('unknown-model', `model '${model}' not found`);
  const reachable = holders.filter(isReachable);
  if (reachable.length === 0) return refused('no-backend', 'every backend that has the model is down');
  if (!everywhere) return placeOn(bestOf(reachable));
  return placeOn(reachable, holders.filter((backend) => !isReachable(backend)).map(isDown));
}

function placeOn(backends: readonly BackendView[], leftOut: readonly LeftOut[] = []): Placed {
  const [first, ...rest] = backends.map(({ id }) => id);
  if (first === undefined) return refused('no-backend', 'no backend that could do this is up');
  return { kind: 'placed', backends: [first, ...rest], leftOut };
}

function refused(code: 'unknown-model' | 'no-backend' | 'bad-request', message: string): Placed {
  return { kind: 'refused', code, message };
}

function isDown({ id }: BackendView): LeftOut {
  return { backend: id, reason: 'it is down' };
}

function isTaker(backend: BackendView): boolean {
  return isReachable(backend) && backend.state !== 'draining';
}

function isAllowed({ spec }: BackendView, model: ModelName): boolean {
  return spec.models === null || modelFilter(spec.models)(model);
}

function inOrder(fleet: readonly BackendView[], chosen: readonly BackendView[]): readonly BackendView[] {
  return fleet.filter((backend) => chosen.includes(backend));
}

const RANK: Readonly<Record<BackendState, number>> = {
  up: 0,
  probation: 1,
  ejected: 2,
  draining: 3,
  unknown: 4,
  waking: 5,
  down: 6,
};

/** The one with the most room, or none of none. */
function bestOf(backends: readonly BackendView[]): readonly BackendView[] {
  return byRoom(backends).slice(0, 1);
}

/**
 * The most room first. Ollama does not tell its free space, so what it holds already stands for it, by its weight, then the number
 * of its models.
 */
function byRoom(backends: readonly BackendView[]): readonly BackendView[] {
  return [...backends].sort(
    (a, b) =>
      RANK[a.state] - RANK[b.state] ||
      load(a) - load(b) ||
      (a.installed?.length ?? 0) - (b.installed?.length ?? 0) ||
      backends.indexOf(a) - backends.indexOf(b),
  );
}

/** Bytes of models per unit of weight. What is not known counts as full; not as infinite, because loads are subtracted. */
function load({ installed, spec }: BackendView): number {
  if (installed === null) return Number.MAX_VALUE;
  return installed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / spec.weight;
}
