/** THE LIST. */
import { clock } from './clock.ts';
import { hang } from './hang.ts';
import { kills } from './kills.ts';
import { leavers } from './leavers.ts';
import { lethal } from './lethal.ts';
import { mix } from './mix.ts';
import { outage } from './outage.ts';
import { overload } from './overload.ts';
import { reloads } from './reloads.ts';
import { restarts } from './restarts.ts';
import { resume } from './resume.ts';
import { slowSenders } from './slow-senders.ts';
import { stalled } from './stalled.ts';

export const scenarios = [
  kills,
  outage,
  hang,
  leavers,
  stalled,
  slowSenders,
  overload,
  restarts,
  reloads,
  lethal,
  clock,
  mix,
  resume,
];
