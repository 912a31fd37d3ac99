/**
 * Which backends there are: those of the configuration, as changed by the operator while running. A reload of the configuration
 * is the operator's newer word: what was added, removed or weighted by hand before it no longer counts (draining does, it is
 * the fleet's).
 */
import type { BackendSpec } from './backend.ts';
import type { BackendId } from './types.ts';

export interface Roster {
  /** In the order of the configuration, then of their adding. */
  specs(): readonly BackendSpec[];
  configure(specs: readonly BackendSpec[]): void;
  /** False when the name is taken. */
  add(spec: BackendSpec): boolean;
  /** False when there is none of that name. */
  remove(id: BackendId): boolean;
  change(id: BackendId, change: Partial<Pick<BackendSpec, 'weight' | 'slots'>>): boolean;
}

/** `changed` is called after every change, with all specs. */
export function createRoster(changed: (specs: readonly BackendSpec[]) => void): Roster {
  let current: readonly BackendSpec[] = [];
  const has = (id: BackendId) => current.some((spec) => spec.id === id);
  const replace = (specs: readonly BackendSpec[]) => {
    current = specs;
    changed(current);
  };
  return {
    specs: () => current,
    configure: replace,
    add(spec) {
      if (has(spec.id)) return false;
      replace([...current, spec]);
      return true;
    },
    remove(id) {
      if (!has(id)) return false;
      replace(current.filter((spec) => spec.id !== id));
      return true;
    },
    change(id, change) {
      if (!has(id)) return false;
      replace(current.map((spec) => (spec.id === id ? { ...spec, ...change } : spec)));
      return true;
    },
  };
}
