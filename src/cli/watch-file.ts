/**
 * Notices that a file's contents have changed, by reading it every two seconds. Watching would be quicker and misses what
 * matters: a mounted ConfigMap changes by the swap of a link two folders up, and editors replace files.
 */
import { createHash } from 'node:crypto';
import type { Files } from '../config/files.ts';
import type { Clock, Millis, Timer } from '../core/types.ts';

const intervalMs: Millis = 2000;

/** Calls back after each change that has been there for two looks, so that a half-written file is not read. Returns the way to stop. */
export function watchFile(
  path: string,
  { files, clock }: { readonly files: Files; readonly clock: Clock },
  changed: () => void,
): () => void {
  let known: string | null = null;
  let seen: string | null = null;
  let timer: Timer | null = null;
  let isStopped = false;

  async function look(): Promise<void> {
    const now = await digest(files, path);
    if (isStopped) return;
    known ??= now;
    if (now !== null && now !== known && now === seen) {
      known = now;
      changed();
    }
    seen = now;
    timer = clock.after(intervalMs, () => void look());
  }

  void look();
  return () => {
    isStopped = true;
    timer?.cancel();
  };
}

/** Null while the file can't be read. */
async function digest(files: Files, path: string): Promise<string | null> {
  try {
    return createHash('sha256')
      .update(await files.read(path))
      .digest('hex');
  } catch {
    return null;
  }
}
