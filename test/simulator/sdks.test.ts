import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import OpenAI from 'openai';
import type { SimulatedOllama } from '../../src/simulator/server.ts';
import { simulatedOllama } from '../support/simulated.ts';

const models = ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text'];
const messages = [{ role: 'user' as const, content: 'Tell me about water' }];
const parameters = { type: 'object' as const, properties: { city: { type: 'string' } }, required: ['city'] };

const simulated = (t: TestContext): Promise<SimulatedOllama> => simulatedOllama(t, { models, answerTokens: 12 });

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

describe('ollama-js with a simulated Ollama', () => {
  const client = ({ url }: SimulatedOllama): Ollama => new Ollama({ host: url });

  it('lists, shows, chats, generates, embeds, pulls, copies and deletes', async (t) => {
    const ollama = client(await simulated(t));
    assert.deepEqual(
      (await ollama.list()).models.map(({ name }) => name),
      ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text:latest'],
    );
    assert.match((await ollama.show({ model: 'llama3.2:3b' })).license, /^SIMULATED/);
    const whole = await ollama.chat({ model: 'llama3.2:3b', messages });
    const parts = await collect(await ollama.chat({ model: 'llama3.2:3b', messages, stream: true }));
    assert.equal(parts.map(({ message }) => message.content).join(''), whole.message.content);
    assert.deepEqual([parts.length, parts.at(-1)!.done], [13, true]);
    assert.equal((await ollama.generate({ model: 'qwen3:8b', prompt: 'hi', think: true })).done_reason, 'stop');
    const embedded = await ollama.embed({ model: 'nomic-embed-text', input: ['a', 'b'] });
    assert.deepEqual(
      embedded.embeddings.map((vector) => vector.length),
      [768, 768],
    );
    const progress = await collect(await ollama.pull({ model: 'tiny', stream: true }));
    assert.equal(progress.at(-1)!.status, 'success');
    await ollama.copy({ source: 'tiny', destination: 'twin' });
    assert.equal((await ollama.delete({ model: 'twin' })).status, 'success');
    assert.deepEqual((await ollama.ps()).models.length, 3);
    assert.equal((await ollama.create({ model: 'mine', from: 'tiny', system: 'x' })).status, 'success');
  });

  it('calls a tool, thinks, and gives structured output', async (t) => {
    const ollama = client(await simulated(t));
    const tools = [{ type: 'function', function: { name: 'weather', description: '', parameters } }];
    const called = await ollama.chat({ model: 'llama3.2:3b', messages, tools });
    assert.equal(called.message.tool_calls![0]!.function.name, 'weather');
    assert.equal(typeof called.message.tool_calls![0]!.function.arguments['city'], 'string');
    const thought = await ollama.chat({ model: 'qwen3:8b', messages });
    assert.ok(thought.message.thinking!.length > 0 && thought.message.content.length > 0);
    const structured = await ollama.chat({ model: 'llama3.2:3b', messages, format: parameters });
    assert.deepEqual(Object.keys(JSON.parse(structured.message.content) as object), ['city']);
  });

  it('raises for an unknown model, a busy server, and a runner that dies in the middle', async (t) => {
    const server = await simulated(t);
    const ollama = client(server);
    await assert.rejects(ollama.chat({ model: 'nope', messages }), {
      status_code: 404,
      error: "model 'nope' not found",
    });
    server.control.faults.add({ kind: 'status', status: 503, times: 1 });
    await assert.rejects(ollama.chat({ model: 'llama3.2:3b', messages }), { status_code: 503 });
    for (const fault of [
      { kind: 'runner-error', afterTokens: 3 },
      { kind: 'truncate', afterChunks: 3 },
    ] as const) {
      server.control.faults.clear();
      server.control.faults.add(fault);
      await assert.rejects(async () => collect(await ollama.chat({ model: 'llama3.2:3b', messages, stream: true })));
    }
  });
});

describe('the OpenAI SDK with a simulated Ollama', () => {
  const client = ({ url }: SimulatedOllama): OpenAI =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey: 'ollama', maxRetries: 0 });

  it('lists, chats, completes and embeds', async (t) => {
    const openai = client(await simulated(t));
    assert.deepEqual((await openai.models.list()).data.length, 3);
    assert.equal((await openai.models.retrieve('llama3.2:3b')).owned_by, 'library');
    const model = 'llama3.2:3b';
    const whole = await openai.chat.completions.create({ model, messages });
    const stream = await openai.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    assert.equal(
      chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''),
      whole.choices[0]!.message.content,
    );
    assert.deepEqual(chunks.at(-1)!.usage, whole.usage);
    assert.equal(
      (await openai.completions.create({ model, prompt: 'hi', max_tokens: 3 })).choices[0]!.finish_reason,
      'length',
    );
    const { data } = await openai.embeddings.create({ model: 'nomic-embed-text', input: ['a'], dimensions: 8 });
    assert.equal(data[0]!.embedding.length, 8);
  });

  it('calls tools in chats and responses, streaming and not', async (t) => {
    const openai = client(await simulated(t));
    const model = 'llama3.2:3b';
    const tools = [{ type: 'function' as const, function: { name: 'weather', parameters } }];
    const whole = await openai.chat.completions.create({ model, messages, tools });
    assert.equal(whole.choices[0]!.finish_reason, 'tool_calls');
    const runner = openai.chat.completions.stream({ model, messages, tools });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0]!.message.tool_calls![0]!.type, 'function');
    assert.equal(final.choices[0]!.finish_reason, 'tool_calls');
    const responseTools = [{ type: 'function' as const, name: 'weather', parameters, strict: null }];
    const response = await openai.responses.create({ model, input: 'hi', tools: responseTools });
    assert.equal(response.output[0]!.type, 'function_call');
    const events = await collect(
      await openai.responses.create({ model, input: 'hi', tools: responseTools, stream: true }),
    );
    assert.deepEqual(
      events.map(({ type }) => type.replace('response.', '')),
      [
        'created',
        'in_progress',
        'output_item.added',
        'function_call_arguments.delta',
        'function_call_arguments.done',
        'output_item.done',
        'completed',
      ],
    );
  });

  it('reads responses with reasoning, streaming and not', async (t) => {
    const openai = client(await simulated(t));
    const response = await openai.responses.create({ model: 'qwen3:8b', input: 'hi' });
    assert.deepEqual(
      response.output.map(({ type }) => type),
      ['reasoning', 'message'],
    );
    assert.notEqual(response.output_text, '');
    // The SDK's own stream helper trips over Ollama's reasoning items, so the events are read one by one.
    const events = await collect(await openai.responses.create({ model: 'qwen3:8b', input: 'hi', stream: true }));
    const added = events.filter((event) => event.type === 'response.output_item.added');
    assert.deepEqual(
      added.map(({ output_index }) => output_index),
      [0, 1],
    );
    const last = events.at(-1)!;
    assert.ok(last.type === 'response.completed');
    assert.deepEqual(
      last.response.output.map((item) => (item.type === 'message' ? item.content : item.type)),
      response.output.map((item) => (item.type === 'message' ? item.content : item.type)),
    );
    const helped = await openai.responses.stream({ model: 'llama3.2:3b', input: 'hi' }).finalResponse();
    assert.notEqual(helped.output_text, '');
  });

  it('raises for an unknown model', async (t) => {
    const openai = client(await simulated(t));
    await assert.rejects(openai.chat.completions.create({ model: 'nope', messages }), {
      status: 404,
      type: 'not_found_error',
    });
  });
});

describe('the Anthropic SDK with a simulated Ollama', () => {
  const client = ({ url }: SimulatedOllama): Anthropic =>
    new Anthropic({ baseURL: url, apiKey: 'ollama', maxRetries: 0 });
  const limits = { max_tokens: 100, messages };

  it('creates and streams messages, with thinking and tools', async (t) => {
    const anthropic = client(await simulated(t));
    const whole = await anthropic.messages.create({ model: 'qwen3:8b', ...limits });
    assert.deepEqual(
      whole.content.map(({ type }) => type),
      ['thinking', 'text'],
    );
    const streamed = await anthropic.messages.stream({ model: 'qwen3:8b', ...limits }).finalMessage();
    assert.deepEqual(
      [streamed.content.map(({ type }) => type), streamed.usage.output_tokens],
      [['thinking', 'text'], whole.usage.output_tokens],
    );
    const tools = [{ name: 'weather', input_schema: parameters }];
    const called = await anthropic.messages.stream({ model: 'llama3.2:3b', ...limits, tools }).finalMessage();
    assert.equal(called.stop_reason, 'tool_use');
    const [use] = called.content;
    assert.ok(use?.type === 'tool_use');
    assert.equal(use.name, 'weather');
    assert.equal(typeof (use.input as { city: string }).city, 'string');
    const result = { type: 'tool_result' as const, tool_use_id: use.id, content: 'warm' };
    const answered = await anthropic.messages.create({
      model: 'llama3.2:3b',
      max_tokens: 5,
      tools,
      messages: [...messages, { role: 'assistant', content: [use] }, { role: 'user', content: [result] }],
    });
    assert.deepEqual([answered.stop_reason, answered.content[0]!.type], ['max_tokens', 'text']);
  });

  it('raises for an unknown model and a busy server', async (t) => {
    const server = await simulated(t);
    const anthropic = client(server);
    await assert.rejects(anthropic.messages.create({ model: 'nope', ...limits }), { status: 404 });
    server.control.faults.add({ kind: 'status', status: 503 });
    await assert.rejects(anthropic.messages.create({ model: 'llama3.2:3b', ...limits }), { status: 503 });
  });
});
