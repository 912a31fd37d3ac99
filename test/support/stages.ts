/** A simulated Ollama brought, recording by recording, to where the recorded one was. */
import { createHash } from 'node:crypto';
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import type { Script } from '../../src/simulator/script.ts';
import { createSimulatedOllama, type SimulatedOllama } from '../../src/simulator/server.ts';
import type { Recording } from './recordings.ts';

/** The recorded bodies that are only said to be so long, and what stands in for them. */
const uploads = new Map<string, { readonly bytes: Buffer; readonly digest: string; readonly ours: string }>(
  (
    [
      ['<457280 bytes>', 457_280, 'a7459a65524319d494fcdce1004707d6893318554dd00bfdb1f2f1c7479b87b8'],
      ['<63886976 bytes>', 63_886_976, '5168e8334f08b41d39588edbbcfa0aaacdf32bf22876488f8f06908dbb593a6b'],
    ] as const
  ).map(([placeholder, size, digest]) => {
    const bytes = Buffer.alloc(size, 7);
    bytes.write('GGUF');
    return [placeholder, { bytes, digest, ours: createHash('sha256').update(bytes).digest('hex') }] as const;
  }),
);

/** A recorded path or body with what stands in for the uploads. */
export function replaced(text: string): string | Buffer {
  const upload = uploads.get(text);
  if (upload !== undefined) return upload.bytes;
  let result = text;
  for (const { digest, ours } of uploads.values()) result = result.replaceAll(digest, ours);
  return result;
}

/** What the recorded model said, so that the simulated one says it too. */
function scriptOf(recording: Recording): Script | null {
  const body = recording.response.chunks.map(({ data }) => data).join('');
  const json = recording.response.framing === 'content-length' || /long-prompt/.test(recording.name);
  const count = /"(?:eval_count|completion_tokens|output_tokens)":(\d+)/g;
  const outputs = Number([...body.matchAll(count)].at(-1)?.[1] ?? 0);
  const prompt = /"(?:prompt_eval_count|prompt_tokens|input_tokens)":(\d+)/g;
  const promptTokens = Number([...body.matchAll(prompt)].at(-1)?.[1] ?? 0);
  const deltas = body.match(/"(?:response|content|text|delta)":"(?:[^"\\]|\\.)*"/g) ?? [];
  const texts = deltas.map((delta) => JSON.parse(delta.slice(delta.indexOf(':') + 1)) as string);
  const said = texts.filter((each) => each !== '');
  if (said.length === 0) return null;
  const reason = /"length"|"max_tokens"/.test(body) || /max_output_tokens":8/.test(body) ? 'length' : 'stop';
  const whole = said[0]!;
  const content = json
    ? [whole, ...Array.from({ length: outputs - 1 }, () => '')]
    : said.slice(0, outputs || said.length);
  return { content, reason, ...(promptTokens === 0 ? {} : { promptTokens }) };
}

const runnerFailure = '{"error": {"code": 500, "message": "fake failure", "type": "server_error"}}';

/** Brings about what a recording says had happened below Ollama, and has its model say what the recorded one said. */
export function arrange(recording: Recording, { control }: SimulatedOllama): void {
  const { name } = recording;
  control.faults.clear();
  if (name.startsWith('crash.')) {
    const text = 'an error was encountered while running the model: unexpected EOF';
    control.faults.add({ kind: 'runner-error', afterTokens: 3, text });
    control.scripts.add({ content: [' w0', ' w1', ' w2', ' w3', ' w4'], promptTokens: 5 });
  }
  if (name.startsWith('runner-500.')) control.faults.add({ kind: 'runner-error', text: runnerFailure });
  const script = scriptOf(recording);
  if (script === null || name.startsWith('crash.') || recording.request.method !== 'POST') return;
  control.scripts.clear();
  control.scripts.add(script);
}

const quick: Partial<SimulatorOptions> = {
  loadMs: 1,
  tokensPerSecond: 10_000,
  prefillTokensPerSecond: 1e6,
  registry: 'unreachable',
  vramBytes: 0,
  keepAliveMs: 300_000,
};

/** The three that the recordings were made of. */
export interface Stages {
  /** Without models at first, and with a real engine below. */
  readonly empty: SimulatedOllama;
  /** With one scripted model. */
  readonly scripted: SimulatedOllama;
  /** Whoever comes while a model loads finds no place to wait, and the load never ends. */
  readonly busy: SimulatedOllama;
  /** The one a recording was made of. */
  of(recording: Recording): SimulatedOllama;
  close(): Promise<unknown>;
}

export async function setStages(): Promise<Stages> {
  const tiny = { name: 'tiny', capabilities: ['completion', 'embedding'], embeddingLength: 3 };
  const empty = await createSimulatedOllama({ ...quick, name: 'empty', models: [] });
  const scripted = await createSimulatedOllama({ ...quick, name: 'scripted', models: [tiny] });
  const busy = await createSimulatedOllama({ ...quick, name: 'busy', models: ['tiny'], maxQueue: 0, loadMs: 1e9 });
  return {
    empty,
    scripted,
    busy,
    of({ name, engine }) {
      if (/^(?:busy\.|ps\.while-loading)/.test(name)) return busy;
      return engine === 'real llama-server' ? empty : scripted;
    },
    close: () => Promise.all([empty, scripted, busy].map((simulated) => simulated.close())),
  };
}
