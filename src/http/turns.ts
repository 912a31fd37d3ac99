/**
 * Turns of the event loop for work that can be felt: what came from others meanwhile is seen to between any two of them. Large
 * bodies that end together would be read one after another within one turn otherwise, and everybody else would wait for all.
 */
import { GatewayError } from '../core/errors.ts';
import type { Departure } from '../core/types.ts';

export interface Turns {
  /**
   * Resolves in a turn that nobody else was given; who asked first is first. Rejects with GatewayError `client-gone` as soon as
   * the client leaves, and takes no turn then.
   */
  next(left: Departure): Promise<void>;
  /**
   * Bytes of a large body that have come. Once a turn has brought as many as it may, of all bodies together, the answer is no, and
   * `more` is called when more can be taken: many fast clients would keep the event loop receiving otherwise.
   */
  takes(bytes: number, more: () => void): boolean;
}

/** Bytes of large bodies that are received in one turn. */
const RECEIVED_A_TURN = 4 * 1024 * 1024;

/** Bytes from which on a body's reading can be felt; what is smaller never waits. */
export const LARGE_BODY = 256 * 1024;

/** `defer` runs something in the event loop's next turn, after what has come from the network by then. */
export function createTurns(defer: (run: () => void) => void = setImmediate): Turns {
  const waiting = new Set<() => void>();
  let received = 0;
  let paused: (() => void)[] = [];
  let isDue = false;

  function arrange(): void {
    if (isDue || waiting.size === 0) return;
    isDue = true;
    defer(give);
  }

  function give(): void {
    isDue = false;
    const [first] = waiting;
    first?.();
    arrange();
  }

  function goOn(): void {
    received = 0;
    const all = paused;
    paused = [];
    for (const more of all) more();
  }

  return {
    takes(bytes, more) {
      if (received === 0) defer(goOn);
      received += bytes;
      if (received <= RECEIVED_A_TURN) return true;
      paused.push(more);
      return false;
    },
    next(left) {
      return new Promise((resolve, reject) => {
        const end = (): void => {
          waiting.delete(take);
          left.removeEventListener('abort', leave);
        };
        const take = (): void => {
          end();
          resolve();
        };
        const leave = (): void => {
          end();
          reject(new GatewayError('client-gone', 'the client left before its body was read'));
        };
        if (left.aborted) return leave();
        left.addEventListener('abort', leave);
        waiting.add(take);
        arrange();
      });
    },
  };
}
