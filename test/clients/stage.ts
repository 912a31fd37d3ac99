/** The two sides of a comparison: one simulated Ollama, and a gateway in front of three like it. */
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import type { Closer } from '../support/closer.ts';
import { startGateway } from '../support/gateway.ts';
import { simulatedOllamas } from '../support/simulated.ts';

export type Side = 'direct' | 'gateway';

export interface Stage {
  /** Where a client is pointed at. */
  readonly url: string;
  readonly backends: readonly SimulatedOllama[];
}

export const chatModel = 'llama3.2:3b';
export const thinkingModel = 'qwen3:8b';
export const embeddingModel = 'nomic-embed-text';

const behindGateway = 3;
/** All alike: whichever is asked gives the same answer. */
const alike: Partial<SimulatorOptions> = {
  models: [chatModel, thinkingModel, embeddingModel],
  seed: 7,
  answerTokens: 12,
};

/**
 * One look at each backend, no load of a model by the gateway itself that would meet the fault meant for a client, and no load of
 * the machine that makes the gateway refuse or give up anything.
 */
const undisturbed =
  'policy: least-connections\nprobes: {interval: 1h, inventoryInterval: 1h, residencyInterval: 1h, timeout: 10s}\noverload: {loopDelay: 0}\n';

/** `config`: YAML of the gateway. */
export async function setStage(side: Side, closer: Closer, config = ''): Promise<Stage> {
  const backends = await simulatedOllamas(closer, side === 'direct' ? 1 : behindGateway, alike);
  if (side === 'direct') return { url: backends[0]!.url, backends };
  const gateway = await startGateway(closer, backends, { config: undisturbed + config });
  return { url: gateway.url, backends };
}
