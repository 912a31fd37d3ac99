/** `llamero serve`, the default: read the configuration, find the backends, listen, say so, and go on until asked to stop. */
import { createApp, type App } from '../app.ts';
import { createClient } from '../backends/client.ts';
import { exposureProblems } from '../config/exposure.ts';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import { renderProblem } from '../config/problem.ts';
import { backendSpecs, type BackendSpec } from '../core/backend.ts';
import { realSystem } from '../system.ts';
import { banner } from './banner.ts';
import { begin, type Beginning } from './first-minute.ts';
import { inheritedSockets } from './inherited.ts';
import type { Io } from './io.ts';
import { loadAgain, readStartable, type ReadConfig } from './read-config.ts';
import { traceEndpoint } from './trace-endpoint.ts';
import { version } from './version.ts';
import { watchFile } from './watch-file.ts';

/** Exit codes: 0 stopped when asked, 1 the configuration is wrong or an address can't be had, 2 flags not understood. */
export async function serveCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readStartable(argv, io);
  if (typeof read === 'number') return read;
  const { config } = read.loaded;
  let beginning: Beginning | null = null;
  try {
    beginning = await begin(config, { ollamaHost: io.env['OLLAMA_HOST'], askVersion, system: realSystem });
    const { specs, simulated } = beginning;
    const reload = () => reloadInto(app, beginning!, read, io);
    const app: App = createApp(
      config,
      {
        version,
        backends: specs,
        simulated,
        isTerminal: io.stdout.isTTY === true,
        inherited: inheritedSockets(io.env, io.pid),
        reload,
        readBackend,
        traceEndpoint: traceEndpoint(io.env),
      },
      realSystem,
    );
    await run(app, beginning, io, { reload, file: read.loaded.file, tls: config.listen.tls });
    return 0;
  } catch (error) {
    io.stderr.write(`llamero: ${explain(error)}\n`);
    return 1;
  } finally {
    await beginning?.close();
  }
}

interface Reloading {
  readonly reload: () => Promise<unknown>;
  /** The configuration file in use. */
  readonly file: string | null;
  /** The listener's files. */
  readonly tls: LoadedConfig['config']['listen']['tls'];
}

async function run(app: App, beginning: Beginning, io: Io, { reload, file, tls }: Reloading): Promise<void> {
  const { publicAddress, adminAddress } = await app.listen();
  // For people; where the log is for machines, it must not stand between its lines.
  (io.stdout.isTTY === true ? io.stdout : io.stderr).write(
    banner({
      version,
      publicAddress,
      adminAddress,
      isSecure: tls !== undefined,
      backends: app.view(),
      simulated: beginning.simulated,
      note: beginning.note,
      isTerminal: io.stdout.isTTY === true,
    }),
  );
  const stops = [io.onHangup(() => void reload())];
  const watched = [file, tls?.cert, tls?.key, tls?.ca].filter((path) => typeof path === 'string');
  const means = { files: io.files, clock: realSystem.clock };
  for (const path of watched) stops.push(watchFile(path, means, () => void reload()));
  if (!io.signal.aborted) {
    await new Promise<void>((resolve) => io.signal.addEventListener('abort', () => resolve(), { once: true }));
  }
  for (const stop of stops) stop();
  app.log.say('info', 'stopping');
  await app.stop();
}

/** Reads the same sources again. A configuration with problems changes nothing. */
async function reloadInto(
  app: App,
  beginning: Beginning,
  { flags }: ReadConfig,
  io: Io,
): Promise<{ ok: boolean; messages: string[] }> {
  const loaded = await loadAgain(flags, io);
  const problems = loaded.ok ? exposureProblems(loaded) : loaded.problems;
  if (!loaded.ok || problems.length > 0) {
    const messages = problems.map(renderProblem);
    app.refused(messages.join('; '));
    return { ok: false, messages };
  }
  const later = app.reload(loaded.config, specsOf(loaded, beginning));
  return { ok: true, messages: later.map((section) => `\`${section}\` changes with the next start`) };
}

/** Those configured now; else those the start found, and always the simulated ones, which run as long as the process. */
function specsOf({ config }: LoadedConfig, { specs, simulated }: Beginning): readonly BackendSpec[] {
  if (config.backends.length === 0) return specs;
  return [...backendSpecs(config.backends), ...specs.filter(({ id }) => simulated.has(id))];
}

/** One backend's fields, checked by the rules of the configuration: the spec, or what is wrong. */
async function readBackend(fields: Readonly<Record<string, unknown>>): Promise<BackendSpec | string> {
  const text = `backends: [${JSON.stringify(fields)}]`;
  const loaded = await loadConfig({
    file: 'request',
    env: {},
    flags: null,
    files: { read: async () => Buffer.from(text) },
  });
  if (!loaded.ok) return loaded.problems.map(({ message }) => message).join('\n');
  return backendSpecs(loaded.config.backends)[0] ?? 'no backend given';
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
