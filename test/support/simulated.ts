/** Simulated Ollamas for tests: on free loopback ports, fast, and closed when the test ends. */
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import { createSimulatedOllama, type SimulatedOllama } from '../../src/simulator/server.ts';
import { realSystem, type System } from '../../src/system.ts';
import type { Closer } from './closer.ts';

/**
 * Starts `count` simulated Ollamas, named `sim-1`, `sim-2`, …; the later ones have other seeds. Loads take 20 ms,
 * tokens 1 ms and pulls next to nothing unless the options say otherwise.
 */
export async function simulatedOllamas(
  t: Closer,
  count: number,
  options: Partial<SimulatorOptions> = {},
  system: System = realSystem,
): Promise<SimulatedOllama[]> {
  const started = await Promise.all(
    Array.from({ length: count }, (_, i) => {
      const rates = { tokensPerSecond: 1_000, prefillTokensPerSecond: 100_000, pullBytesPerSecond: 1e12 };
      const quick = { ...rates, loadMs: 20, promptOverheadMs: 0, seed: i + 1 };
      return createSimulatedOllama({ ...quick, ...options, name: `sim-${i + 1}` }, system);
    }),
  );
  t.after(() => Promise.all(started.map((simulated) => simulated.close())));
  return started;
}

/** One of them. */
export async function simulatedOllama(
  t: Closer,
  options: Partial<SimulatorOptions> = {},
  system: System = realSystem,
): Promise<SimulatedOllama> {
  const [one] = await simulatedOllamas(t, 1, options, system);
  return one!;
}
