/** `llamero version`. */
import manifest from '../../package.json' with { type: 'json' };
import type { Io } from './io.ts';

/** The gateway's own version, as in package.json. */
export const version: string = manifest.version;

export async function versionCommand(_argv: readonly string[], io: Io): Promise<number> {
  io.stdout.write(`llamero ${version}\n`);
  return 0;
}
