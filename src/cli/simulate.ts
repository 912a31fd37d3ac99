/** `llamero simulate`: one simulated Ollama on an address of its own, to put behind a gateway or to point a client at. */
import { formatAddress } from '../config/units.ts';
import { createSimulatedOllama } from '../simulator/server.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

/** Listens on `listen.address` and is what `simulate.*` says, `simulate.count` aside. Exit codes as those of `serve`. */
export async function simulateCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io);
  if (typeof read === 'number') return read;
  const { listen, simulate } = read.loaded.config;
  const { models, slots, loadTime, tokensPerSecond, seed } = simulate;
  const address = formatAddress(listen.address);
  try {
    const ollama = await createSimulatedOllama({
      ...listen.address,
      models,
      slots,
      loadMs: loadTime,
      tokensPerSecond,
      seed,
    });
    io.stdout.write(`SIMULATED Ollama on ${ollama.url}; its text is made up\n`);
    await stopped(io.signal);
    await ollama.close();
    return 0;
  } catch (error) {
    io.stderr.write(`llamero: can't listen on ${address}: ${(error as Error).message}\n`);
    return 1;
  }
}

async function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
