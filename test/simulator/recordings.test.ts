import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { differences, loadRecordings, requestBytes, sendBytes } from '../support/recordings.ts';
import { arrange, replaced, setStages, type Stages } from '../support/stages.ts';

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
    at: /\.(?:parameter_size|context_length|embedding_length|(?:general|llama|tokenizer)\.[\w.]+)(?:\[\d+\]| length)?$/,
    alike: /./,
  },
  {
    why: 'Ollama sorts by whole seconds and leaves the rest to chance; the simulator knows the nanoseconds',
    cases: /^(?:tags|v1\.models)$/,
    at: /\.(?:id|name|model|parent_model)$/,
    alike: /^(?:(?:tiny|tiny-clone|mid):\w+)?$/,
  },
];

describe('the recordings, sent to the simulator', () => {
  let stages: Stages;
  const used = new Set<string>();

  before(async () => {
    stages = await setStages();
  });
  after(() => stages.close());

  const recordings = loadRecordings();
  it('are 125', () => assert.equal(recordings.length, 125));

  for (const recording of recordings) {
    it(`${recording.name}: the same answer`, async () => {
      const simulated = stages.of(recording);
      arrange(recording, simulated);
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
