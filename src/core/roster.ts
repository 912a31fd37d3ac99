/**
 * Which backends there are: those of the configuration, those found behind its names, and what the operator has changed while
 * running. A reload of the configuration is the operator's newer word: what was added, removed or weighted by hand before it no
 * longer counts (draining does, it is the fleet's).
 */
import type { BackendSpec } from './backend.ts';
import type { BackendId } from './types.ts';

export interface Roster {
  /** All backends: of the configuration in its order, each name replaced by what was found behind it; then those added. */
  backends(): readonly BackendSpec[];
  configure(specs: readonly BackendSpec[]): void;
  /** What stands behind a name now. Ignored when no spec has the name (any more). */
  found(name: BackendId, specs: readonly BackendSpec[]): void;
  /** False when the name is taken. */
  add(spec: BackendSpec): boolean;
  /** False when there is none of that name. */
  remove(id: BackendId): boolean;
  change(id: BackendId, change: Partial<Pick<BackendSpec, 'weight' | 'slots'>>): boolean;
}

/** `changed` is called after every change, with all backends. */
export function createRoster(changed: (backends: readonly BackendSpec[]) => void): Roster {
  let stated: readonly BackendSpec[] = [];
  const behind = new Map<BackendId, readonly BackendSpec[]>();
  const changes = new Map<BackendId, Partial<BackendSpec>>();
  const removed = new Set<BackendId>();

  function backends(): BackendSpec[] {
    const all = stated.flatMap((spec) => (spec.discover === undefined ? [spec] : (behind.get(spec.id) ?? [])));
    return all.filter(({ id }) => !removed.has(id)).map((spec) => ({ ...spec, ...changes.get(spec.id) }));
  }
  const has = (id: BackendId) => backends().some((spec) => spec.id === id);
  const tell = () => changed(backends());

  return {
    backends,
    configure(specs) {
      stated = specs;
      changes.clear();
      removed.clear();
      const names = new Set(specs.map(({ id }) => id));
      for (const name of behind.keys()) if (!names.has(name)) behind.delete(name);
      tell();
    },
    found(name, specs) {
      if (!stated.some((spec) => spec.id === name && spec.discover !== undefined)) return;
      behind.set(name, specs);
      tell();
    },
    add(spec) {
      if (has(spec.id)) return false;
      removed.delete(spec.id);
      stated = [...stated.filter(({ id }) => id !== spec.id), spec];
      tell();
      return true;
    },
    remove(id) {
      if (!has(id)) return false;
      removed.add(id);
      tell();
      return true;
    },
    change(id, change) {
      if (!has(id)) return false;
      changes.set(id, { ...changes.get(id), ...change });
      tell();
      return true;
    },
  };
}
