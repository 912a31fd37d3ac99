/** Everything a client may ask that is neither inference nor answered from memory. */
import type { BackendClient, CallTimeouts } from '../backends/client.ts';
import type { Refreshed } from '../backends/prober.ts';
import type { BlobMemory } from '../core/blob-memory.ts';
import type { Catalogue } from '../core/catalogue.ts';
import type { Emit } from '../core/events.ts';
import type { BackendView } from '../core/fleet.ts';
import type { PlacementOptions } from '../core/placement.ts';
import type { BackendId, Clock } from '../core/types.ts';
import type { Reading } from '../dialects/dialect.ts';
import { createBlobs } from './blobs.ts';
import type { RuleBook } from './rules.ts';
import type { BodyLimits } from './body.ts';
import { createForward, type Forward } from './forward.ts';
import { createManage } from './manage.ts';
import { createProxy, quickTimeouts, type SurfaceOptions } from './proxy.ts';
import type { Serve } from './server.ts';
import type { Pressure } from './pressure.ts';
import { unload } from './unload.ts';
import { receiveVisit, type Grounds, type Visit } from './visit.ts';

export interface SurfaceDependencies {
  readonly client: (id: BackendId) => BackendClient;
  readonly refresh: (ids: readonly BackendId[], what: Refreshed) => Promise<void>;
  /** The configured backends. */
  readonly view: () => readonly BackendView[];
  readonly catalogue: Catalogue;
  readonly memory: BlobMemory;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly pressure: Pressure;
  readonly hash: (text: string | Uint8Array) => string;
}

export interface SurfaceSettings {
  readonly placement: PlacementOptions;
  readonly surface: SurfaceOptions;
  readonly limits: BodyLimits;
  readonly book: RuleBook;
  /** Those of inference. */
  readonly timeouts: CallTimeouts;
}

export interface Surface {
  /** Takes requests that only unload a model; `visit` and what was read belong to a journey. */
  readonly unload: (visit: Visit, body: Buffer, reading: Reading) => Promise<void>;
  /** Takes routes of kind `manage` and `proxy`. */
  readonly serve: Serve;
  readonly forward: Forward;
}

const signsOut: ReadonlySet<string> = new Set(['signout', 'user-key']);

export function createSurface(
  { memory, ...others }: SurfaceDependencies,
  { placement, surface, book, limits, timeouts }: SurfaceSettings,
): Surface {
  const grounds: Grounds = { ...others, book, limits, timeouts: quickTimeouts(timeouts.connect, surface) };
  const manage = createManage({ grounds, blobs: createBlobs(grounds, memory, placement) }, placement);
  const proxy = createProxy(grounds, surface);
  const forward = createForward(grounds, timeouts);
  const handlerOf = ({ route }: Pick<Visit, 'route'>) =>
    route.kind === 'manage' || signsOut.has(route.endpoint) ? manage : proxy;
  return {
    unload: (visit, body, reading) => unload(visit, body, reading, grounds),
    serve(exchange, route, dialect, parameter) {
      void receiveVisit(exchange, { route, dialect, parameter }, grounds, handlerOf({ route }));
    },
    forward: (exchange, path, query) => surface.unknown === 'forward' && forward(exchange, path, query),
  };
}
