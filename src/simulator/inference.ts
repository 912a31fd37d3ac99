/** From a request's body to its answer: waits its turn in the scheduler, then speaks in the dialect it was asked in. */
import type { Millis } from '../core/types.ts';
import { hash, seededRng } from './luck.ts';
import type { Manifest } from './models.ts';
import type { OllamaScheduler } from './scheduler.ts';
import type { RunnerOptions, SimulatedModel, Timing } from './scheduler-types.ts';
import { countTokens, say } from './text.ts';
import type { Voice } from './voice.ts';
import type { Exchange } from './wire.ts';

/** What any dialect's inference request comes down to. */
export interface Ask {
  readonly manifest: Manifest;
  readonly prompt: readonly string[];
  readonly stream: boolean;
  readonly numPredict: number;
  readonly seed: string;
  readonly options: RunnerOptions;
  readonly keepAliveMs: Millis | null;
}

export interface Inference {
  answer(exchange: Exchange, ask: Ask, voice: Voice): void;
  /** Loads and nothing else; `done` once a runner is granted. */
  load(exchange: Exchange, ask: Ask, voice: Voice, done: () => void): void;
  embed(exchange: Exchange, ask: Ask, voice: Voice, done: (timing: Timing) => void): void;
}

export const busyText = 'server busy, please try again.  maximum pending requests exceeded';
const crashText = 'an error was encountered while running the model: unexpected EOF';

/** How much of a prompt the scheduler's prefix cache may share: its message boundaries. */
function marksOf(prompt: readonly string[]): { hash: string; tokens: number }[] {
  let text = '';
  return prompt.map((part) => {
    text += `${part}\u0000`;
    return { hash: String(hash(text)), tokens: countTokens(text) };
  });
}

export function modelOf(manifest: Manifest): SimulatedModel {
  const { weights } = manifest;
  return {
    name: manifest.name,
    blob: weights.digest,
    sizeBytes: weights.sizeBytes,
    trainedContext: weights.contextLength,
    oneSlot: !weights.capabilities.includes('completion'),
  };
}

export function createInference(scheduler: OllamaScheduler, seed: number): Inference {
  function fail(exchange: Exchange, voice: Voice, reason: 'busy' | 'crashed'): void {
    const [status, text] = reason === 'busy' ? [503, busyText] : [500, crashText];
    if (exchange.committed) return exchange.end();
    const { headers, body } = voice.error(status, text);
    exchange.send(status, headers, body);
  }

  function submit(
    exchange: Exchange,
    ask: Ask,
    voice: Voice,
    work: {
      task: 'generate' | 'embed' | 'load';
      outputTokens: number;
      token?: () => void;
      done: (timing: Timing) => void;
    },
  ): void {
    const prefix = marksOf(ask.prompt);
    const handle = scheduler.submit(
      {
        model: modelOf(ask.manifest),
        options: ask.options,
        keepAliveMs: ask.keepAliveMs,
        task: work.task,
        promptTokens: prefix.at(-1)?.tokens ?? 0,
        outputTokens: work.outputTokens,
        prefix,
        eachToken: work.token !== undefined,
      },
      {
        token: () => work.token?.(),
        done: work.done,
        failed: (reason) => fail(exchange, voice, reason),
      },
    );
    exchange.onGone(() => handle.cancel());
  }

  return {
    answer(exchange, ask, voice) {
      const rng = seededRng(seed, ask.manifest.weights.digest, ask.seed, ...ask.prompt);
      const { tokens, ended } = say(rng, ask.numPredict);
      let sent = 0;
      const token = (): void => {
        if (!ask.stream) return;
        if (!exchange.committed) exchange.start(200, voice.streamHeaders);
        for (const frame of voice.token(tokens[sent++] ?? '')) exchange.chunk(frame);
      };
      submit(exchange, ask, voice, {
        task: 'generate',
        outputTokens: tokens.length,
        token,
        done(timing) {
          const ending = {
            reason: ended,
            text: tokens.join(''),
            promptTokens: timing.promptTokens,
            outputTokens: tokens.length,
            timing,
          };
          if (!ask.stream) return exchange.send(200, voice.plainHeaders, voice.whole(ending));
          for (const frame of voice.ending(ending)) exchange.chunk(frame);
          exchange.end();
        },
      });
    },
    load: (exchange, ask, voice, done) => submit(exchange, ask, voice, { task: 'load', outputTokens: 0, done }),
    embed: (exchange, ask, voice, done) => submit(exchange, ask, voice, { task: 'embed', outputTokens: 0, done }),
  };
}
