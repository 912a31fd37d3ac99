/** Things with a deadline, the earliest first. */
import { Heap } from './heap.ts';
import type { Millis } from './types.ts';

export interface Deadlined {
  readonly deadline: Millis;
}

/** A deadline may change only while its owner is no member. */
export class Deadlines<T extends Deadlined> extends Heap<T> {
  constructor() {
    super(isEarlier);
  }
}

function isEarlier(a: Deadlined, b: Deadlined): boolean {
  return a.deadline < b.deadline;
}
