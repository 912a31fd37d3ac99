/** `llamero check`: says whether the configuration is one, and starts nothing. */
import { backendSpecs } from '../core/backend.ts';
import { formatAddress } from '../config/units.ts';
import type { Config } from '../config/schema.ts';
import { readStartable } from './read-config.ts';
import type { Io } from './io.ts';

export async function checkCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readStartable(argv, io);
  if (typeof read === 'number') return read;
  const { config, file } = read.loaded;
  const from = file ?? 'no file';
  io.stdout.write(`${from}: fine; listens on ${formatAddress(config.listen.address)}, ${describeBackends(config)}\n`);
  return 0;
}

function describeBackends({ backends, simulate }: Config): string {
  const names = backendSpecs(backends).map(({ id }) => id);
  const simulated = simulate.count === 0 ? [] : [`${simulate.count} simulated`];
  if (names.length + simulated.length === 0) return 'no backends, so that a local Ollama is looked for';
  return `backends: ${[...names, ...simulated].join(', ')}`;
}
