import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bindJson } from '../../src/simulator/go-bind.ts';
import { base64Problem, durationProblem } from '../../src/simulator/go-fields.ts';
import { chatAsk, chatRequest, createRequest, generateRequest } from '../../src/simulator/native-requests.ts';

function problem(body: string, shape: Parameters<typeof bindJson>[1] = chatRequest): string | null {
  try {
    bindJson(Buffer.from(body), shape);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** What Go 1.26 says of each, with structs of these names. */
const complaints: Readonly<Record<string, string | null>> = {
  '{"model":5}': 'json: cannot unmarshal number into Go struct field ChatRequest.model of type string',
  '{"model":["a"]}': 'json: cannot unmarshal array into Go struct field ChatRequest.model of type string',
  '[]': 'json: cannot unmarshal array into Go value of type api.ChatRequest',
  '"x"': 'json: cannot unmarshal string into Go value of type api.ChatRequest',
  true: 'json: cannot unmarshal bool into Go value of type api.ChatRequest',
  null: null,
  '{"messages":{}}': 'json: cannot unmarshal object into Go struct field ChatRequest.messages of type []api.Message',
  '{"messages":[5]}': 'json: cannot unmarshal number into Go struct field ChatRequest.messages of type api.Message',
  '{"messages":[{"content":5}]}':
    'json: cannot unmarshal number into Go struct field Message.messages.content of type string',
  '{"messages":[{"tool_calls":[{"function":{"name":4}}]}]}':
    'json: cannot unmarshal number into Go struct field ToolCallFunction.messages.tool_calls.function.name of type string',
  '{"stream":"yes"}': 'json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool',
  '{"options":[]}':
    'json: cannot unmarshal array into Go struct field ChatRequest.options of type map[string]interface {}',
  '{"top_logprobs":1.5}': 'json: cannot unmarshal number 1.5 into Go struct field ChatRequest.top_logprobs of type int',
  '{"top_logprobs":"1"}': 'json: cannot unmarshal string into Go struct field ChatRequest.top_logprobs of type int',
  '{"top_logprobs":99999999999999999999}':
    'json: cannot unmarshal number 99999999999999999999 into Go struct field ChatRequest.top_logprobs of type int',
  '{"messages":[{"images":["!!"]}]}': 'illegal base64 data at input byte 0',
  '{"messages":[{"images":[5]}]}':
    'json: cannot unmarshal number into Go struct field Message.messages.images of type []uint8',
  // The first mistake is the one that is told; what follows is read all the same.
  '{"model":5,"stream":6}': 'json: cannot unmarshal number into Go struct field ChatRequest.model of type string',
  '{"stream":null,"model":null,"top_logprobs":null,"unknown":[]}': null,
  '{"keep_alive":"300"}': 'time: missing unit in duration "300"',
  '{"keep_alive":true}': "Unsupported type: 'bool'",
  '{"think":"much"}': 'invalid think value: "much" (must be "high", "medium", "low", "max", true, or false)',
  '{"think":1}': 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)',
  '\uFEFF{}': "invalid character 'ï' looking for beginning of value",
};

describe('a body, bound as Go binds it', () => {
  for (const [body, complaint] of Object.entries(complaints)) {
    it(`${body}: ${complaint ?? 'fine'}`, () => assert.equal(problem(body), complaint));
  }

  it('names the type of a map’s values', () => {
    assert.equal(
      problem('{"files":{"a":5}}', createRequest),
      'json: cannot unmarshal number into Go struct field CreateRequest.files of type string',
    );
    assert.equal(
      problem('{"context":["a"]}', generateRequest),
      'json: cannot unmarshal string into Go struct field GenerateRequest.context of type int',
    );
  });

  it('folds the case of keys, and the last duplicate wins', () => {
    const ask = chatAsk(
      bindJson(Buffer.from('{"model":"a","MODEL":"b","ſtream":false,"\u212Aeep_Alive":5} x'), chatRequest),
    );
    assert.deepEqual([ask.model, ask.stream, ask.keepAliveMs], ['b', false, 5_000]);
  });

  it('lets null undo a pointer, and nothing else', () => {
    const ask = chatAsk(bindJson(Buffer.from('{"model":"a","model":null,"stream":false,"stream":null}'), chatRequest));
    assert.deepEqual([ask.model, ask.stream], ['a', true]);
  });

  it('takes a key that JavaScript holds dear for a key like any other', () => {
    const ask = chatAsk(
      bindJson(Buffer.from('{"__proto__":1,"constructor":2,"options":{"__proto__":3}}'), chatRequest),
    );
    assert.deepEqual(Object.entries(ask.options), [['__proto__', 3]]);
  });
});

describe('a duration that Go refuses', () => {
  for (const [duration, told] of [
    ['abc', 'time: invalid duration "abc"'],
    ['', 'time: invalid duration ""'],
    ['-', 'time: invalid duration "-"'],
    ['.s', 'time: invalid duration ".s"'],
    ['5x', 'time: unknown unit "x" in duration "5x"'],
    ['1h-', 'time: unknown unit "h-" in duration "1h-"'],
    ['1y30s', 'time: unknown unit "y" in duration "1y30s"'],
    ['1h2', 'time: missing unit in duration "1h2"'],
    ['1..5s', 'time: missing unit in duration "1..5s"'],
  ] as const) {
    it(`${duration}: ${told}`, () => assert.equal(durationProblem(duration), told));
  }
});

describe('base64 as Go reads it', () => {
  for (const [text, place] of [
    ['', null],
    ['YQ==', null],
    ['YW\nI=', null],
    ['YWJj', null],
    ['YQ', 0],
    ['YWJjYQ', 4],
    ['Y Q=', 1],
    ['YWJjY!', 5],
    ['YWJjY===', 5],
    ['YWJjYQ=', 7],
    ['YQ==YQ==', 4],
    ['Y', 0],
  ] as const) {
    it(`${JSON.stringify(text)}: ${place ?? 'fine'}`, () => assert.equal(base64Problem(text), place));
  }
});
