import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { SimulatorOptions } from '../../src/simulator/options.ts';
import type { Script } from '../../src/simulator/script.ts';
import { createSimulatedOllama, type SimulatedOllama } from '../../src/simulator/server.ts';
import { differences, loadRecordings, type Recording, requestBytes, sendBytes } from '../support/recordings.ts';

/**
 * What may differ from the recordings, where, and why. `at` is matched against the place of a difference, `cases` against the
 * recording's name. `alike` is what both values must look like nevertheless.
 */
const tolerated: readonly {
  readonly why: string;
  readonly at: RegExp;
  readonly cases?: RegExp;
  readonly alike: RegExp;
}[] = [
  { why: 'the clock', at: /^header Date$/, alike: /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/ },
  { why: 'lengths follow from what else may differ', at: /^header Content-Length$/, alike: /^\d+$/ },
  {
    why: 'the clock',
    at: /\.(?:created_at|modified_at|expires_at)$/,
    alike: /^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z|\d{10})$/,
  },
  { why: 'the clock', at: /\.(?:created|completed_at)$/, alike: /^\d{10}$/ },
  { why: 'the clock', at: /\.(?:total|load|prompt_eval|eval)_duration$/, alike: /^[1-9]\d*$/ },
  {
    why: 'Ollama draws these ids at random',
    at: /\.(?:id|item_id|request_id)$/,
    alike: /^(?:(?:chatcmpl|cmpl)-\d{1,3}|(?:resp|msg)_\d{1,6}|(?:msg|req)_[0-9a-f]{24})$/,
  },
  { why: 'token ids depend on the tokenizer', at: /\.context(?:\[\d+\]| length)$/, alike: /^\d+$/ },
  {
    why: 'token counts of what is not scripted depend on the tokenizer',
    cases: /^(?:v1\.)?embed/,
    at: /\.(?:prompt_eval_count|prompt_tokens|total_tokens)$/,
    alike: /^\d+$/,
  },
  {
    why: 'embeddings come from a seed; they have the recorded length',
    cases: /^(?:v1\.)?embed/,
    at: /\.embeddings?(?:\[\d+\])*$/,
    alike: /^(?:-?\d(?:\.\d+)?(?:e-\d+)?|[A-Za-z0-9+/]{16})$/,
  },
  {
    why: 'the recorded file is not here: another of the same size was uploaded',
    cases: /^(?:create|tags|ps|show|push)/,
    at: /\.(?:digest|status|error|modelfile)$/,
    alike: /sha256[:-]?[0-9a-f]{64}|^[0-9a-f]{64}$/,
  },
  {
    why: 'the layers beside the weights are written a little differently',
    cases: /^(?:tags|ps)/,
    at: /\.size$/,
    alike: /^\d{6,8}$/,
  },
  {
    why: 'of an uploaded file only digest and size are kept, not what it says of its model',
    cases: /^(?:tags|ps|show)/,
    at: /\.(?:parameter_size|context_length|embedding_length|(?:general|llama|tokenizer)\.[\w.]+)/,
    alike: /./,
  },
  {
    why: 'Ollama sorts by whole seconds and leaves the rest to chance; the simulator knows the nanoseconds',
    cases: /^(?:tags|v1\.models)$/,
    at: /\.(?:id|name|model|parent_model)$/,
    alike: /^(?:(?:tiny|tiny-clone|mid):\w+)?$/,
  },
];

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

function replaced(text: string): string | Buffer {
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

/** Brings about what a recording says had happened below Ollama. */
function arrange({ name }: Recording, { control }: SimulatedOllama): void {
  control.faults.clear();
  if (name.startsWith('crash.')) {
    const text = 'an error was encountered while running the model: unexpected EOF';
    control.faults.add({ kind: 'runner-error', afterTokens: 3, text });
    control.scripts.add({ content: [' w0', ' w1', ' w2', ' w3', ' w4'], promptTokens: 5 });
  }
  if (name.startsWith('runner-500.')) control.faults.add({ kind: 'runner-error', text: runnerFailure });
}

const quick: Partial<SimulatorOptions> = {
  loadMs: 1,
  tokensPerSecond: 10_000,
  prefillTokensPerSecond: 1e6,
  registry: 'unreachable',
  vramBytes: 0,
  keepAliveMs: 300_000,
};

describe('the recordings, sent to the simulator', () => {
  let empty: SimulatedOllama;
  let scripted: SimulatedOllama;
  let busy: SimulatedOllama;
  const used = new Set<string>();

  before(async () => {
    empty = await createSimulatedOllama({ ...quick, models: [] });
    const tiny = { name: 'tiny', capabilities: ['completion', 'embedding'], embeddingLength: 3 };
    scripted = await createSimulatedOllama({ ...quick, models: [tiny] });
    // Whoever comes while a model loads finds no place to wait, and the load never ends.
    busy = await createSimulatedOllama({ ...quick, models: ['tiny'], maxQueue: 0, loadMs: 1e9 });
  });
  after(() => Promise.all([empty, scripted, busy].map((simulated) => simulated.close())));

  const recordings = loadRecordings();
  it('are 125', () => assert.equal(recordings.length, 125));

  for (const recording of recordings) {
    it(`${recording.name}: the same answer`, async () => {
      const isBusy = /^(?:busy\.|ps\.while-loading)/.test(recording.name);
      const simulated = isBusy ? busy : recording.engine === 'real llama-server' ? empty : scripted;
      arrange(recording, simulated);
      const script = scriptOf(recording);
      if (script !== null && !recording.name.startsWith('crash.') && recording.request.method === 'POST') {
        simulated.control.scripts.clear();
        simulated.control.scripts.add(script);
      }
      const answer = await sendBytes(simulated.port, requestBytes(recording, replaced), recording.request.method);
      const unexplained = differences(recording, answer).filter((difference) => {
        const excuse = tolerated.find(
          ({ at, cases, alike }) =>
            at.test(difference.at) &&
            (cases?.test(recording.name) ?? true) &&
            alike.test(String(difference.recorded)) &&
            alike.test(String(difference.answered)),
        );
        if (excuse !== undefined) used.add(excuse.why);
        return excuse === undefined;
      });
      assert.deepEqual(unexplained, []);
    });
  }

  it('need every line of the table of tolerated differences', () => {
    assert.deepEqual(
      tolerated.map(({ why }) => why).filter((why) => !used.has(why)),
      [],
    );
  });
});
