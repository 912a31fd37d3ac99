/** A simulated Ollama on the wire. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock, Millis } from '../core/types.ts';
import { realSystem, type System } from '../system.ts';
import { blobRoutes } from './blobs.ts';
import { batchedClock, scaledClock } from './clock.ts';
import { answer, control, type ControlCall, controlPrefix, type ServerActions } from './control.ts';
import { createRoute } from './create.ts';
import { createFaultBook, type FaultBook } from './faults.ts';
import { isLoopback } from './gate.ts';
import { createJournal, type Journal, type RequestRecord } from './journal.ts';
import { createLibrary, type Library, pulledManifest } from './library.ts';
import { seededRng } from './luck.ts';
import { createMachine, type Machine } from './machine.ts';
import { simulatorOptions, type SimulatorOptions } from './options.ts';
import { connectionOutput } from './output.ts';
import { createRouter, type Router } from './router.ts';
import { accountRoutes } from './routes-account.ts';
import { embeddingRoutes } from './routes-embeddings.ts';
import { inferenceRoutes } from './routes-inference.ts';
import { modelRoutes } from './routes-models.ts';
import { createScriptBook, type ScriptBook } from './script.ts';
import { createDownloads, transferRoutes } from './transfers.ts';
import { Exchange } from './wire.ts';
import type { World } from './world.ts';

export interface SimulatedOllama {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly control: SimulatorControl;
  /** Cuts every connection and stops listening. */
  close(): Promise<void>;
}

/** What a test may look at and reach for; `/__sim` offers the same over HTTP. */
export interface SimulatorControl extends ServerActions {
  readonly options: SimulatorOptions;
  readonly journal: Journal;
  readonly faults: FaultBook;
  readonly scripts: ScriptBook;
  readonly library: Library;
  readonly machine: Machine;
  /** Simulated time. */
  readonly clock: Clock;
  /** A call of the control API: status and JSON value. */
  call(call: ControlCall): Promise<readonly [number, unknown]>;
}

/** How finely streams share one timer, in real milliseconds. */
const granularityMs = 2;

/** Go's limit of a request's head, and the room it gives beyond. */
const maxHeadBytes = 1_048_576 + 4_096;

/** Listens once it resolves. Options that are left out have the defaults of their schema. */
export async function createSimulatedOllama(
  given: Partial<SimulatorOptions> = {},
  system: System = realSystem,
): Promise<SimulatedOllama> {
  const options = simulatorOptions(given);
  const clock = batchedClock(scaledClock(system.clock, options.speed), granularityMs * options.speed);
  const journal = createJournal(system.clock);
  const machine = createMachine(options, clock, journal);
  const library = createLibrary();
  const wallOffset = system.wallNow() - system.clock.now();
  const wallNow = (): Millis => wallOffset + system.clock.now();
  install(library, options, wallNow());
  const records = new WeakMap<Exchange, RequestRecord>();
  let lots = 0;
  const world: World = {
    options,
    clock,
    realClock: system.clock,
    wallNow,
    library,
    machine,
    faults: createFaultBook(seededRng(options.seed, options.name, 'faults')),
    scripts: createScriptBook(),
    journal,
    luck: () => seededRng(options.seed, options.name, lots++),
    recordOf: (exchange) => records.get(exchange)!,
    crash: (downMs) => listener.crash(downMs),
  };
  const downloads = createDownloads(clock, options.pullBytesPerSecond);
  const router = createRouter(
    [
      ...accountRoutes(world),
      ...modelRoutes(world),
      ...inferenceRoutes(world),
      ...embeddingRoutes(world),
      ...blobRoutes(world),
      ...transferRoutes(world, downloads),
      createRoute(world, downloads),
    ],
    { onLoopback: isLoopback(options.host) },
  );
  const listener = createListener(world, (request, response) =>
    serve({ world, records, router, actions: listener }, request, response),
  );
  await listener.accept();
  return {
    name: options.name,
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${listener.port()}`,
    port: listener.port(),
    control: {
      options,
      journal,
      machine,
      library,
      clock,
      faults: world.faults,
      scripts: world.scripts,
      refuse: (forMs) => listener.refuse(forMs),
      accept: () => listener.accept(),
      crash: (downMs) => listener.crash(downMs),
      call: (call) => answer(world, listener, call),
    },
    async close() {
      machine.close();
      clock.stop();
      await listener.close();
    },
  };
}

/** An hour lies between them, the first is the newest. */
function install(library: Library, { models }: SimulatorOptions, now: Millis): void {
  for (const [place, model] of models.entries()) {
    library.put(pulledManifest(typeof model === 'string' ? { name: model } : model, now - place * 3_600_000));
  }
}

interface Service {
  readonly world: World;
  readonly records: WeakMap<Exchange, RequestRecord>;
  readonly router: Router;
  readonly actions: ServerActions;
}

function serve({ world, records, router, actions }: Service, request: IncomingMessage, response: ServerResponse): void {
  const { journal } = world;
  const isControl = request.url?.startsWith(controlPrefix) === true;
  const record = isControl ? null : journal.open(recordFields(request));
  const exchange = new Exchange({
    id: record?.id ?? 0,
    request,
    output: connectionOutput(response, world.realClock, {
      head: (status) => record !== null && journal.answered(record, status),
      body: (bytes) => record !== null && (record.bytesSent += bytes),
    }),
    wallNow: world.wallNow,
    proceed: () => response.writeContinue(),
    heard: (bytes) => record !== null && journal.body(record, bytes),
  });
  response.once('close', () => {
    if (record !== null) {
      const ending = exchange.abandoned ? 'cut' : response.writableFinished ? 'complete' : 'client-left';
      journal.close(record, ending);
    }
    exchange.left();
  });
  if (record !== null) records.set(exchange, record);
  const handled = isControl ? control(world, actions, exchange) : router(exchange);
  handled.catch((error: unknown) => {
    journal.note('bug', {
      text: String((error as Error).stack ?? error),
      ...(record === null ? {} : { request: record.id }),
    });
    exchange.output.cut('reset');
  });
}

function recordFields({
  method = 'GET',
  url = '/',
  rawHeaders,
}: IncomingMessage): Pick<RequestRecord, 'method' | 'target' | 'headers'> {
  const headers: [string, string][] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) headers.push([rawHeaders[at]!, rawHeaders[at + 1]!]);
  return { method, target: url, headers };
}

interface Listener extends ServerActions {
  port(): number;
  close(): Promise<void>;
}

/** The socket that listens: it can be closed and opened again on the same port while the rest lives on. */
function createListener(world: World, handle: (request: IncomingMessage, response: ServerResponse) => void): Listener {
  const { options, realClock, journal } = world;
  let port = options.port;
  let server: Server | null = null;
  let closed = false;

  function fresh(): Server {
    const made = createServer(
      {
        keepAliveTimeout: 0,
        requestTimeout: 0,
        headersTimeout: 0,
        maxHeaderSize: maxHeadBytes,
        requireHostHeader: false,
      },
      handle,
    );
    made.timeout = 0;
    made.on('checkContinue', handle);
    made.on('clientError', refuseMalformed);
    return made;
  }

  async function accept(): Promise<void> {
    if (server !== null || closed) return;
    const made = fresh();
    server = made;
    await new Promise<void>((resolve, reject) => {
      made.once('error', reject);
      made.listen(port, options.host, resolve);
    });
    ({ port } = made.address() as AddressInfo);
    journal.note('listening');
  }

  async function stop(cut: (server: Server) => void): Promise<void> {
    const stopping = server;
    server = null;
    if (stopping === null) return;
    const stopped = new Promise<void>((resolve) => void stopping.close(() => resolve()));
    cut(stopping);
    await stopped;
  }

  return {
    port: () => port,
    accept,
    async refuse(forMs) {
      journal.note('refusing');
      if (forMs !== undefined) realClock.after(forMs, () => void accept());
      // Streams that run go on, so this does not wait for the last of them.
      void stop((stopping) => stopping.closeIdleConnections());
    },
    crash(downMs) {
      journal.note('crashed');
      void stop((stopping) => stopping.closeAllConnections());
      world.machine.restart();
      world.library.prune();
      realClock.after(downMs, () => void accept());
    },
    async close() {
      closed = true;
      await stop((stopping) => stopping.closeAllConnections());
    },
  };
}

/** What Go answers to a head it cannot read. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') return void socket.destroy();
  const reason = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const head = `HTTP/1.1 ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n`;
  socket.end(`${head}${reason}`);
}
