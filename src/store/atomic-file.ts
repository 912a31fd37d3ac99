/** Small files that are replaced as a whole: whoever reads one sees the old text or the new, never half of either. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Writes beside the file and renames. The directory is made when it is missing; only this user may read what is written. Rejects
 * as node:fs does, and leaves nothing behind then.
 */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const draft = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(text);
      // A rename that reaches the disk before the text would leave an empty file after a power cut.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** What went wrong, in a line of the log. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The text of a file of at most `limit` bytes; null when there is none. Rejects as node:fs does, and when it is larger. */
export async function readSmallFile(path: string, limit: number): Promise<string | null> {
  try {
    const { size } = await stat(path);
    if (size > limit) throw new Error(`\`${path}\` has ${size} bytes; ${limit} are the most`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
