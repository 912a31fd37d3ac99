/** A simulated Ollama on the wire. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { realSystem, type System } from '../system.ts';
import { batchedClock, scaledClock } from './clock.ts';
import { createInference, modelOf } from './inference.ts';
import { seededRng } from './luck.ts';
import { createModelStore, type ModelStore, pulledManifest } from './models.ts';
import { simulatorOptions, type SimulatorOptions } from './options.ts';
import { createRoutes } from './routes.ts';
import { createOllamaScheduler, type OllamaScheduler } from './scheduler.ts';
import { createExchange } from './wire.ts';

export interface SimulatedOllama {
  readonly url: string;
  readonly port: number;
  readonly control: SimulatorControl;
  close(): Promise<void>;
}

/** What a test may look at and reach for. */
export interface SimulatorControl {
  readonly models: ModelStore;
  readonly scheduler: OllamaScheduler;
  readonly counters: { requests: number; aborted: number; inFlight: number };
}

export async function createSimulatedOllama(
  given: Partial<SimulatorOptions> = {},
  system: System = realSystem,
): Promise<SimulatedOllama> {
  const options = simulatorOptions(given);
  const clock = batchedClock(scaledClock(system.clock, options.speed), 2 * options.speed);
  const scheduler = createOllamaScheduler(
    {
      numParallel: options.slots,
      maxLoadedModels: options.maxLoaded,
      maxQueue: options.maxQueue,
      memoryBytes: options.vramBytes === 0 ? Number.POSITIVE_INFINITY : options.vramBytes,
      keepAliveMs: options.keepAliveMs,
      loadMs: options.loadMs,
      loadSpread: 0,
      decodeTokensPerSecond: options.tokensPerSecond,
      prefillTokensPerSecond: options.prefillTokensPerSecond,
      prefillFixedMs: 0,
      sharing: 0,
      bugs: { slotLeak: false, starvation: false },
    },
    clock,
    seededRng(options.seed, options.name),
  );
  const models = createModelStore();
  const startedNs = BigInt(Math.round(system.wallNow())) * 1_000_000n;
  for (const [place, model] of options.models.entries()) {
    const spec = typeof model === 'string' ? { name: model } : model;
    models.put(pulledManifest(spec, startedNs - BigInt(place) * 3_600_000_000_000n));
  }
  const counters = { requests: 0, aborted: 0, inFlight: 0 };
  const handle = createRoutes({
    options,
    clock,
    wallNow: system.wallNow,
    models,
    scheduler,
    modelOf,
    inference: createInference(scheduler, options.seed),
  });

  const server = createServer(
    { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, maxHeaderSize: 1_048_576 + 4_096 },
    (request: IncomingMessage, response: ServerResponse) => {
      counters.requests++;
      counters.inFlight++;
      response.once('close', () => {
        counters.inFlight--;
        if (!response.writableFinished) counters.aborted++;
      });
      handle(createExchange(request, response, { wallNow: system.wallNow, early: [] }));
    },
  );
  server.timeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${options.host}:${port}`,
    port,
    control: { models, scheduler, counters },
    async close() {
      scheduler.close();
      clock.stop();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
