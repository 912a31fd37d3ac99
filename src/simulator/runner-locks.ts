/**
 * What a hung runner does to the rest of its Ollama: a request that waits for it holds the locks that a look at the runners
 * needs, until the runner is given up (ollama-wire §2.5.4).
 */
import type { RequestCallbacks, RequestHandle } from './scheduler-types.ts';

export interface RunnerLocks {
  hangs(digest: string): void;
  /** It is loaded anew. */
  answers(digest: string): void;
  /** Hands a request on, minding whether it will wait for a hung runner. */
  through(
    digest: string,
    callbacks: RequestCallbacks,
    submit: (callbacks: RequestCallbacks) => RequestHandle,
  ): RequestHandle;
  /** Calls back as soon as nobody waits for a hung runner. */
  onceFree(run: () => void): void;
}

export function createRunnerLocks(): RunnerLocks {
  const hung = new Set<string>();
  let held = 0;
  let waiting: (() => void)[] = [];

  /** The result lets go, once. */
  function hold(): () => void {
    held++;
    let isFree = false;
    return () => {
      if (isFree) return;
      isFree = true;
      held--;
      if (held > 0) return;
      const heard = waiting;
      waiting = [];
      for (const run of heard) run();
    };
  }

  return {
    hangs: (digest) => void hung.add(digest),
    answers: (digest) => void hung.delete(digest),
    through(digest, callbacks, submit) {
      if (!hung.has(digest)) return submit(callbacks);
      const free = hold();
      const handle = submit({
        ...callbacks,
        granted() {
          free();
          callbacks.granted?.();
        },
        failed(reason) {
          free();
          callbacks.failed(reason);
        },
      });
      return {
        ...handle,
        cancel() {
          free();
          handle.cancel();
        },
      };
    },
    onceFree(run) {
      if (held === 0) run();
      else waiting.push(run);
    },
  };
}
