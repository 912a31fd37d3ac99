/** Ties a client to the backends that work for it: it leaves or the gateway stops, they stop; it reads slowly, they wait. */
import type { Call } from '../backends/client.ts';
import type { GatewayError } from '../core/errors.ts';
import type { Exchange } from './exchange.ts';

export interface Tether {
  hold(call: Call): void;
  /** From now on nothing of the above happens. */
  release(): void;
}

export interface TetherEnds {
  /** The client has left; the calls have been aborted. */
  readonly onLeft: () => void;
  /** The gateway can wait no longer, or an operator ends the request; the calls have been aborted. */
  readonly onStop: (why: GatewayError) => void;
}

export function tether(exchange: Exchange, { onLeft, onStop }: TetherEnds): Tether {
  const calls: Call[] = [];
  let isRoom = true;
  const abort = () => {
    for (const call of calls) call.abort();
  };
  const left = () => {
    abort();
    onLeft();
  };
  exchange.left.addEventListener('abort', left, { once: true });
  exchange.onStop = (why) => {
    abort();
    onStop(why);
  };
  exchange.onRoom = (room) => {
    isRoom = room;
    for (const call of calls)
      if (room) call.resume();
      else call.pause();
  };
  return {
    hold(call) {
      calls.push(call);
      if (exchange.left.aborted) call.abort();
      else if (!isRoom) call.pause();
    },
    release() {
      exchange.left.removeEventListener('abort', left);
      exchange.onStop = null;
      exchange.onRoom = null;
    },
  };
}
