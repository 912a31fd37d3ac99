/** `llamero serve`, the default: read the configuration, find the backends, listen, say so, and go on until asked to stop. */
import { createApp, type App } from '../app.ts';
import { createClient } from '../backends/client.ts';
import { realSystem } from '../system.ts';
import { version } from './version.ts';
import { banner } from './banner.ts';
import { begin, type Beginning } from './first-minute.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

/** Exit codes: 0 stopped when asked, 1 the configuration is wrong or an address can't be had, 2 flags not understood. */
export async function serveCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io);
  if (typeof read === 'number') return read;
  const { config } = read.loaded;
  let beginning: Beginning | null = null;
  try {
    beginning = await begin(config, { ollamaHost: io.env['OLLAMA_HOST'], askVersion, system: realSystem });
    const app = createApp(
      config,
      { version, backends: beginning.specs, simulated: beginning.simulated, isTerminal: io.stdout.isTTY === true },
      realSystem,
    );
    await run(app, beginning, io);
    return 0;
  } catch (error) {
    io.stderr.write(`llamero: ${explain(error)}\n`);
    return 1;
  } finally {
    await beginning?.close();
  }
}

async function run(app: App, beginning: Beginning, io: Io): Promise<void> {
  const { publicAddress, adminAddress } = await app.listen();
  io.stdout.write(
    banner({
      version,
      publicAddress,
      adminAddress,
      backends: app.view(),
      simulated: beginning.simulated,
      note: beginning.note,
      isTerminal: io.stdout.isTTY === true,
    }),
  );
  if (!io.signal.aborted) {
    await new Promise<void>((resolve) => io.signal.addEventListener('abort', () => resolve(), { once: true }));
  }
  app.log.say('info', 'stopping');
  await app.stop();
}

/** The version an Ollama at the URL answers within a second, or null. */
async function askVersion(url: string): Promise<string | null> {
  const client = createClient({ url }, realSystem.clock);
  const limit = 1000;
  try {
    const { status, body } = await client.fetch({
      method: 'GET',
      path: '/api/version',
      headers: [],
      body: null,
      repeatable: true,
      timeouts: { connect: limit, firstByte: limit, idle: limit, total: limit },
    });
    const { version: answered } = JSON.parse(body.toString('utf8')) as { version?: unknown };
    return status === 200 && typeof answered === 'string' ? answered : null;
  } catch {
    return null;
  } finally {
    await client.destroy();
  }
}

function explain(error: unknown): string {
  const { code, message, port, address } = error as NodeJS.ErrnoException & { port?: number; address?: string };
  const where = `${address ?? ''}:${port ?? ''}`;
  if (code === 'EADDRINUSE')
    return `${where} is in use; stop what listens there, or choose another with --listen or --admin`;
  if (code === 'EACCES') return `not allowed to listen on ${where}; ports below 1024 need a privilege`;
  if (code === 'EADDRNOTAVAIL') return `${where} is not an address of this machine`;
  return message;
}
