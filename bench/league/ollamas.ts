/**
 * The backends of a live run: simulated Ollamas in a process of their own, with the models in memory that the league starts with.
 * Argument: `OllamasOrder` as JSON. Says `OllamasReady` once they listen, and `OllamasLoads` whenever it is sent anything.
 */
import { schedulerDefaults } from '../../src/simulator/scheduler-types.ts';
import { createSimulatedOllama } from '../../src/simulator/server.ts';
import type { Case } from '../sim/cases.ts';

export interface OllamasOrder {
  readonly of: Case;
  readonly seed: number;
  /** Simulated time over real time. */
  readonly scale: number;
}

export interface OllamasReady {
  readonly ports: readonly number[];
}

/** Loads begun since the start, of all backends. */
export interface OllamasLoads {
  readonly loads: number;
}

const TiB = 1024 ** 4;

export function modelName(rank: number): string {
  return `model-${rank}:latest`;
}

async function run({ of, scale, seed }: OllamasOrder): Promise<void> {
  const models = Array.from({ length: of.models }, (_, rank) => ({ name: modelName(rank), sizeBytes: 4e9 }));
  const { decodeTokensPerSecond, prefillFixedMs, prefillTokensPerSecond, sharing } = schedulerDefaults;
  const backends = await Promise.all(
    of.speeds.map((factor, index) =>
      createSimulatedOllama({
        name: `backend-${index}`,
        models,
        seed: seed + index,
        speed: scale,
        slots: of.slots,
        maxLoaded: of.places,
        // Places are what is scarce, not memory.
        vramBytes: TiB,
        loadMs: of.loadMs,
        tokensPerSecond: decodeTokensPerSecond * factor,
        prefillTokensPerSecond: prefillTokensPerSecond * factor,
        promptOverheadMs: prefillFixedMs,
        sharing,
        // Longer than any answer is let be.
        answerTokens: 100_000,
        starvation: true,
      }),
    ),
  );
  await Promise.all(
    backends.map(async ({ url }, index) => {
      for (let place = 0; place < Math.min(of.places, of.models); place += 1) {
        const model = modelName((index * of.places + place) % of.models);
        await fetch(`${url}/api/generate`, { method: 'POST', body: JSON.stringify({ model }) }).then((one) =>
          one.text(),
        );
      }
    }),
  );
  const loads = (): number => backends.reduce((sum, { control }) => sum + control.machine.snapshot().loadsStarted, 0);
  process.on('message', () => process.send!({ loads: loads() } satisfies OllamasLoads));
  process.on('SIGTERM', () => process.exit());
  process.send!({ ports: backends.map(({ port }) => port) } satisfies OllamasReady);
}

if (import.meta.main) await run(JSON.parse(process.argv[2]!) as OllamasOrder);
