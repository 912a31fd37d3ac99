/** THE LIST of policies. To add one: its file, and its line here. */
import { ipHash } from './ip-hash.ts';
import { leastConnections } from './least-connections.ts';
import { powerOfTwo } from './power-of-two.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';
import { soonest } from './soonest.ts';
import { weighted } from './weighted.ts';

export const policies = {
  soonest,
  'least-connections': leastConnections,
  'round-robin': roundRobin,
  weighted,
  'power-of-two': powerOfTwo,
  random,
  'ip-hash': ipHash,
};
