/**
 * A file that is read again when another has taken its place or its contents have changed. It is looked at twice a second: watching
 * would be quicker, and misses what matters, a mounted folder that changes by the swap of a link further up.
 */
import { stat } from 'node:fs/promises';
import type { Clock, Millis, Timer } from '../core/types.ts';

/** A revoked key has to be refused within a second. */
const intervalMs: Millis = 500;

export interface WatchedFile {
  /** Reads it now if it has changed; rejects with what `read` does. */
  look(): Promise<void>;
  /** Looks again and again from now on. */
  start(): void;
  close(): void;
}

export interface WatchedFileOptions {
  readonly path: string;
  readonly clock: Clock;
  /** Reads the file and takes what is in it. */
  readonly read: () => Promise<void>;
  /** What was wrong with it; what was read before stays. Told once for each version of the file. */
  readonly failed: (error: Error) => void;
}

export function watchedFile({ path, clock, failed, read }: WatchedFileOptions): WatchedFile {
  let seen: string | null = null;
  let timer: Timer | null = null;
  let isClosed = false;

  async function look(): Promise<void> {
    const version = await versionOf(path);
    if (version === seen) return;
    seen = version;
    await read();
  }

  function again(): void {
    timer = clock.after(intervalMs, () => {
      void look()
        .catch(failed)
        .then(() => {
          if (!isClosed) again();
        });
    });
  }

  return {
    look,
    start: again,
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}

/** A rename gives another inode, a write another time or length. */
async function versionOf(path: string): Promise<string> {
  try {
    const { ino, mtimeNs, size } = await stat(path, { bigint: true });
    return `${ino} ${mtimeNs} ${size}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
