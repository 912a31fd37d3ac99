/**
 * Which backends a start begins with, so that nobody's first minute ends empty-handed: those that are configured; else a local
 * Ollama; else simulated ones, marked as such.
 */
import type { Config } from '../config/schema.ts';
import { completeUrl } from '../config/backend-spec.ts';
import { backendSpecs, withDefaults, type BackendOptions, type BackendSpec } from '../core/backend.ts';
import type { BackendId } from '../core/types.ts';
import type { SimulatedOllama } from '../simulator/server.ts';
import type { System } from '../system.ts';

export interface Beginning {
  readonly specs: readonly BackendSpec[];
  readonly simulated: ReadonlySet<BackendId>;
  /** One sentence for the banner when nothing was configured. */
  readonly note: string | null;
  /** Stops the simulated backends. */
  close(): Promise<void>;
}

export interface BeginningSources {
  /** The user's OLLAMA_HOST, which Ollama's own clients follow. */
  readonly ollamaHost: string | undefined;
  /** Resolves with the version an Ollama at the URL answers, or null. */
  readonly askVersion: (url: string) => Promise<string | null>;
  readonly system: System;
}

const simulatedByDefault = 3;

export async function begin(config: Config, sources: BeginningSources): Promise<Beginning> {
  const configured: BackendOptions[] = [...config.backends];
  if (configured.length > 0 || config.simulate.count > 0)
    return assemble(configured, config.simulate, sources.system, null);
  const local = await findLocal(config, sources);
  if (local !== null) {
    const found: BackendOptions = withDefaults({ name: 'local', url: local });
    return assemble([found], config.simulate, sources.system, `Nothing is configured: adopted the Ollama at ${local}.`);
  }
  const note = 'Nothing is configured and no local Ollama answers: these are SIMULATED, their text is made up.';
  return assemble([], { ...config.simulate, count: simulatedByDefault }, sources.system, note);
}

/** The URL of an Ollama on this machine, or null. */
export async function findLocal(
  config: Config,
  { ollamaHost, askVersion }: Omit<BeginningSources, 'system'>,
): Promise<string | null> {
  const wished = ollamaHost === undefined || ollamaHost.trim() === '' ? [] : [completeUrl(ollamaHost.trim())];
  for (const url of new Set([...wished, 'http://127.0.0.1:11434'])) {
    const { host, port } = config.listen.address;
    // OLLAMA_HOST may already point clients at us; adopting ourselves would be a loop.
    const own =
      new URL(url).port === String(port) &&
      ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', host].includes(new URL(url).hostname);
    if (!own && (await askVersion(url)) !== null) return url.replace('//0.0.0.0', '//127.0.0.1');
  }
  return null;
}

async function assemble(
  configured: readonly BackendOptions[],
  simulate: Config['simulate'],
  system: System,
  note: string | null,
): Promise<Beginning> {
  const { count, models, slots, loadTime, tokensPerSecond, seed } = simulate;
  const running: SimulatedOllama[] = [];
  const options = [...configured];
  // Loaded only when wanted: in production it is not.
  const { createSimulatedOllama } =
    count > 0 ? await import('../simulator/server.ts') : { createSimulatedOllama: unused };
  for (let number = 1; number <= count; number += 1) {
    const name = `sim${number}`;
    const ollama = await createSimulatedOllama(
      { name, models, slots, loadMs: loadTime, tokensPerSecond, seed: seed + number },
      system,
    );
    running.push(ollama);
    options.push(withDefaults({ name, url: ollama.url, slots }));
  }
  return {
    specs: backendSpecs(options),
    simulated: new Set(running.map((_, index) => `sim${index + 1}`)),
    note,
    close: async () => void (await Promise.all(running.map((ollama) => ollama.close()))),
  };
}

function unused(): never {
  throw new Error('no simulated backend was asked for');
}
