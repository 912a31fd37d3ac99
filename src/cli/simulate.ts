/** `llamero simulate`: simulated Ollamas on addresses of their own, to put behind a gateway or to point a client at. */
import { createControlServer } from '../simulator/control-server.ts';
import type { SimulatorOptions } from '../simulator/options.ts';
import { createSimulatedOllama, type SimulatedOllama } from '../simulator/server.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';
import { readSimulateFlags, simulateFlags, type SimulateFlags } from './simulate-flags.ts';

/** What its flags do not say, `listen.address` and `simulate.*` of the configuration do. Exit codes as those of `serve`. */
export async function simulateCommand(argv: readonly string[], io: Io): Promise<number> {
  const read = await readConfig(argv, io, simulateFlags);
  if (typeof read === 'number') return read;
  const flags = readSimulateFlags(read.flags);
  if ('problems' in flags) {
    for (const problem of flags.problems) io.stderr.write(`llamero: ${problem}\n`);
    return 2;
  }
  const { listen, simulate } = read.loaded.config;
  const { models, slots, loadTime, tokensPerSecond, seed } = simulate;
  const base = { ...listen.address, models, slots, loadMs: loadTime, tokensPerSecond, seed, ...flags.options };
  return run({ ...base, port: flags.port ?? base.port }, flags, io);
}

type Base = Partial<SimulatorOptions> & { readonly host: string; readonly port: number; readonly seed: number };

async function run(base: Base, { count, controlPort, faults }: SimulateFlags, io: Io): Promise<number> {
  const running: { close(): Promise<void> }[] = [];
  try {
    const simulated: SimulatedOllama[] = [];
    for (let index = 0; index < count; index++) {
      const own = { name: `sim${index + 1}`, seed: base.seed + index, port: base.port === 0 ? 0 : base.port + index };
      const ollama = await createSimulatedOllama({ ...base, ...own });
      running.push(ollama);
      simulated.push(ollama);
      for (const fault of faults) ollama.control.faults.add(fault);
      io.stdout.write(`SIMULATED Ollama ${ollama.name} on ${ollama.url}: ${modelNames(ollama)}; its text is made up\n`);
    }
    if (controlPort !== null) {
      const control = await createControlServer(simulated, { host: base.host, port: controlPort });
      running.push(control);
      io.stdout.write(`Control API of all of them on ${control.url}\n`);
    }
    await stopped(io.signal);
    return 0;
  } catch (error) {
    io.stderr.write(`llamero: can't listen: ${(error as Error).message}\n`);
    return 1;
  } finally {
    await Promise.all(running.map((each) => each.close()));
  }
}

function modelNames({ control }: SimulatedOllama): string {
  const names = control.library.list().map(({ name }) => name);
  return names.length === 0 ? 'no models' : names.join(', ');
}

async function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
