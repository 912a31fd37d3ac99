/** `llamero config --effective`: what all sources together come to, secrets left out, each value with where it came from. */
import { renderEffective } from '../config/effective.ts';
import { configSchema } from '../config/schema.ts';
import { readConfig } from './read-config.ts';
import type { Io } from './io.ts';

const flags = { effective: { help: 'print the merged configuration; each value with its source' } };

export async function configCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io, flags);
  if (typeof read === 'number') return read;
  if (!read.flags.has('effective')) {
    io.stderr.write('llamero: say what to print: `llamero config --effective`\n');
    return 2;
  }
  const { config, origins } = read.loaded;
  io.stdout.write(renderEffective(configSchema, config, origins));
  return 0;
}
