/** What every handler of one simulated Ollama has at hand. */
import type { Clock, Millis, Rng } from '../core/types.ts';
import type { FaultBook } from './faults.ts';
import type { Journal, RequestRecord } from './journal.ts';
import type { Library } from './library.ts';
import type { Machine } from './machine.ts';
import type { SimulatorOptions } from './options.ts';
import type { ScriptBook } from './script.ts';
import { rfc3339 } from './stamp.ts';
import type { VoiceContext } from './voice.ts';
import type { Exchange } from './wire.ts';

export interface World {
  readonly options: SimulatorOptions;
  /** Simulated time, which `speed` scales. */
  readonly clock: Clock;
  readonly realClock: Clock;
  /** Epoch milliseconds with a fraction. */
  readonly wallNow: () => Millis;
  readonly library: Library;
  readonly machine: Machine;
  readonly faults: FaultBook;
  readonly scripts: ScriptBook;
  readonly journal: Journal;
  /** Luck of its own for each call, the same sequence of them for the same seed. */
  readonly luck: () => Rng;
  readonly recordOf: (exchange: Exchange) => RequestRecord;
  readonly crash: (downMs: Millis) => void;
}

export function voiceContext(world: World, model: string): VoiceContext {
  return {
    model,
    stamp: () => rfc3339(world.wallNow()),
    seconds: () => Math.floor(world.wallNow() / 1_000),
    rng: world.luck(),
  };
}
