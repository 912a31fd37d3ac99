/** `llamero drain BACKEND` and `llamero resume BACKEND`: take a backend away for a while, and give it back. */
import type { Backend } from '../http/admin/shapes.ts';
import { createAdminClient } from './admin-client.ts';
import { adminFlags, leadingWords } from './flags.ts';
import type { Command, Io } from './io.ts';
import { readConfig } from './read-config.ts';

export const drainCommand: Command = (argv, io) => change('drain', argv, io);
export const resumeCommand: Command = (argv, io) => change('resume', argv, io);

/** Exit codes: 0 done, 1 not done, 2 arguments not understood. */
async function change(verb: 'drain' | 'resume', argv: readonly string[], io: Io): Promise<number> {
  const { rest, words } = leadingWords(argv);
  const [name] = words;
  if (name === undefined || words.length > 1) {
    io.stderr.write(`llamero: usage: llamero ${verb} BACKEND\n`);
    return 2;
  }
  const read = await readConfig(rest, io, adminFlags);
  if (typeof read === 'number') return read;
  const client = createAdminClient(read.loaded.config.admin, read.flags.get('token')?.[0]);
  const answer = await client.send<Backend>('POST', `/gateway/backends/${encodeURIComponent(name)}/${verb}`);
  if (!answer.ok) {
    io.stderr.write(`llamero: ${client.address} ${answer.problem}\n`);
    return 1;
  }
  const { in_flight: inFlight, state } = answer.value;
  const busy = inFlight === 0 ? 'no requests under way' : `${inFlight} under way`;
  io.stdout.write(`${name} is ${state}, ${busy}\n`);
  return 0;
}
