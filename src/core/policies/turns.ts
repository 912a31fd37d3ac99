/** A number per backend that a policy remembers. Bounded: backends come and go, and the least recently set are forgotten. */
import type { BackendId } from '../types.ts';

export interface Turns {
  of(id: BackendId): number;
  set(id: BackendId, value: number): void;
}

/** More than any fleet has; one entry costs some hundred bytes. */
const REMEMBERED = 4096;

export function turns(initial: number): Turns {
  const values = new Map<BackendId, number>();
  return {
    of: (id) => values.get(id) ?? initial,
    set(id, value) {
      // A map keeps the place of a key that is set again; deleted first, it goes to the end.
      values.delete(id);
      values.set(id, value);
      if (values.size <= REMEMBERED) return;
      const oldest = values.keys().next();
      if (oldest.done !== true) values.delete(oldest.value);
    },
  };
}
