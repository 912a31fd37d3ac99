/** `llamero check`: says whether the configuration is one, and starts nothing. */
import { backendSpecs } from '../core/backend.ts';
import { formatAddress } from '../config/units.ts';
import { readConfig } from './read-config.ts';
import type { Io } from './io.ts';

export async function checkCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io);
  if (typeof read === 'number') return read;
  const { config, file } = read.loaded;
  const names = backendSpecs(config.backends).map(({ id }) => id);
  const backends =
    names.length === 0 ? 'no backends, so that a local Ollama is looked for' : `backends ${names.join(', ')}`;
  io.stdout.write(`${file ?? 'no file'}: fine; listens on ${formatAddress(config.listen.address)}, ${backends}\n`);
  return 0;
}
