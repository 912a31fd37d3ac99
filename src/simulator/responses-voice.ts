/** OpenAI's Responses as Ollama's compatibility layer writes them. */
import type { Rng } from '../core/types.ts';
import { plain } from './go-bind.ts';
import { goJson, goJsonSorted } from './json.ts';
import { draw } from './luck.ts';
import { openaiErrorBody } from './openai-voice.ts';
import type { ResponsesRequest } from './responses-requests.ts';
import type { Ending, Part, ToolCall } from './speech.ts';
import { compatError, jsonPlain, sse, unbuffered, type Voice, type VoiceContext } from './voice.ts';

export interface ResponsesContext extends VoiceContext {
  readonly request: ResponsesRequest;
}

type Json = Readonly<Record<string, unknown>>;

export function responsesVoice(context: ResponsesContext): Voice {
  const { request, rng } = context;
  const id = `resp_${draw(rng, 999_999)}`;
  const itemId = `msg_${draw(rng, 999_999)}`;
  const extra = request.stream === true ? unbuffered : [];
  let sequence = 0;

  const event = (type: string, fields: Json): string =>
    `event: ${type}\ndata: ${goJsonSorted({ ...fields, sequence_number: sequence++, type })}\n\n`;
  const response = (fields: Json): Json => responseObject(context, { id, ...fields });
  const items = new ItemWriter(rng, itemId, event);
  let begun = false;

  function begin(): string[] {
    if (begun) return [];
    begun = true;
    return ['response.created', 'response.in_progress'].map((type) =>
      event(type, { response: response({ status: 'in_progress', output: [], usage: null, completed_at: null }) }),
    );
  }

  return {
    streamHeaders: [...sse, ...unbuffered],
    plainHeaders: jsonPlain,
    part: (part) => [...begin(), ...items.add(part)],
    ending(ending) {
      const frames = [...begin(), ...items.close()];
      const completed = { status: 'completed', output: items.output(), usage: usageOf(ending) };
      const done = response({ ...completed, completed_at: context.seconds() });
      return [...frames, event('response.completed', { response: done })];
    },
    whole(ending) {
      const output = wholeOutput(ending, id, itemId);
      const whole = response({ status: 'completed', output, usage: usageOf(ending), completed_at: context.seconds() });
      return `${goJson(inStructOrder(whole))}\n`;
    },
    error: (status, text, place) => compatError(openaiErrorBody(status, text), place, extra),
    broken: () => [],
  };
}

function usageOf({ promptTokens, outputTokens }: Ending): Json {
  return {
    input_tokens: promptTokens,
    output_tokens: outputTokens,
    total_tokens: promptTokens + outputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens_details: { reasoning_tokens: 0 },
  };
}

/** Everything but what changes, in any order: streams sort keys, and `inStructOrder` is the order of a whole answer. */
function responseObject({ request, model, seconds }: ResponsesContext, own: Json): Json {
  return {
    object: 'response',
    created_at: seconds(),
    incomplete_details: null,
    model,
    previous_response_id: null,
    instructions: request.instructions || null,
    error: null,
    tools: (request.tools ?? []).map((tool) => ({ ...tool, parameters: plain(tool.parameters) })),
    tool_choice: 'auto',
    truncation: request.truncation ?? 'disabled',
    parallel_tool_calls: true,
    text: { format: formatOf(request) },
    top_p: request.top_p ?? 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    top_logprobs: 0,
    temperature: request.temperature ?? 1,
    reasoning: reasoningOf(request),
    max_output_tokens: request.max_output_tokens,
    max_tool_calls: null,
    store: false,
    background: request.background,
    service_tier: 'default',
    metadata: {},
    safety_identifier: null,
    prompt_cache_key: null,
    ...own,
  };
}

function formatOf({ text }: ResponsesRequest): Json {
  const format = text?.format ?? null;
  if (format === null) return { type: 'text' };
  return {
    type: format.type,
    name: format.name || undefined,
    schema: format.schema === null ? undefined : plain(format.schema),
    strict: format.strict ?? undefined,
  };
}

/** What is not stated is null in a stream, and left out of a whole answer. */
function reasoningOf({ reasoning: { effort, summary }, stream }: ResponsesRequest): Json | null {
  if (effort === '' && summary === '') return null;
  const absent = stream === true ? null : undefined;
  return { effort: effort || absent, summary: summary || absent };
}

const structOrder =
  `id object created_at completed_at status incomplete_details model previous_response_id instructions output error tools
  tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs temperature reasoning
  usage max_output_tokens max_tool_calls store background service_tier metadata safety_identifier prompt_cache_key`.split(
    /\s+/u,
  );

function inStructOrder(response: Json): Json {
  return Object.fromEntries(structOrder.map((key) => [key, response[key]]));
}

function textPart(text: string): Json {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

function messageItem(id: string, text: string): Json {
  return { id, type: 'message', status: 'completed', role: 'assistant', content: [textPart(text)] };
}

function reasoningItem(id: string, thinking: string): Json {
  return { id, type: 'reasoning', summary: [{ type: 'summary_text', text: thinking }], encrypted_content: thinking };
}

function callItem(id: string, call: ToolCall): Json {
  return {
    id,
    type: 'function_call',
    status: 'completed',
    call_id: call.id,
    name: call.name,
    arguments: goJson(call.arguments),
  };
}

function wholeOutput(ending: Ending, id: string, itemId: string): Json[] {
  const reasoning = ending.thinking === '' ? [] : [reasoningItem(`rs_${id}`, ending.thinking)];
  const calls = ending.toolCalls.map((call, place) => callItem(`fc_${id}_${place}`, call));
  return [...reasoning, ...(calls.length > 0 ? calls : [messageItem(itemId, ending.content)])];
}

type WriteEvent = (type: string, fields: Json) => string;

/** Output items of a stream: reasoning, then either tool calls or one message. */
class ItemWriter {
  readonly #rng: Rng;
  readonly #itemId: string;
  readonly #event: WriteEvent;
  readonly #calls: Json[] = [];
  #outputIndex = 0;
  #thinking = '';
  #thinkingId: string | null = null;
  #isThinkingDone = false;
  /** Null until the message has begun. */
  #said: string | null = null;

  constructor(rng: Rng, itemId: string, event: WriteEvent) {
    this.#rng = rng;
    this.#itemId = itemId;
    this.#event = event;
  }

  add(part: Part): string[] {
    const thought = this.#think(part.thinking);
    const called =
      part.toolCalls.length === 0
        ? []
        : [...this.#endThinking(), ...part.toolCalls.flatMap((call, place) => this.#call(call, place))];
    return [...thought, ...called, ...this.#say(part.content)];
  }

  /** Ends what is open. */
  close(): string[] {
    const frames = this.#endThinking();
    if (this.#calls.length > 0 || this.#said === null) return frames;
    const where = { item_id: this.#itemId, output_index: this.#outputIndex, content_index: 0 };
    const item = messageItem(this.#itemId, this.#said);
    return [
      ...frames,
      this.#event('response.output_text.done', { ...where, text: this.#said, logprobs: [] }),
      this.#event('response.content_part.done', { ...where, part: textPart(this.#said) }),
      this.#event('response.output_item.done', { output_index: this.#outputIndex, item }),
    ];
  }

  output(): Json[] {
    const reasoning = this.#thinkingId === null ? [] : [reasoningItem(this.#thinkingId, this.#thinking)];
    if (this.#calls.length > 0) return [...reasoning, ...this.#calls];
    return this.#said === null ? reasoning : [...reasoning, messageItem(this.#itemId, this.#said)];
  }

  #think(words: string): string[] {
    if (words === '') return [];
    const frames: string[] = [];
    if (this.#thinkingId === null) {
      this.#thinkingId = `rs_${draw(this.#rng, 999_999)}`;
      const item = { id: this.#thinkingId, type: 'reasoning', summary: [] };
      frames.push(this.#event('response.output_item.added', { output_index: this.#outputIndex, item }));
    }
    this.#thinking += words;
    const where = { item_id: this.#thinkingId, output_index: this.#outputIndex, summary_index: 0 };
    return [...frames, this.#event('response.reasoning_summary_text.delta', { ...where, delta: words })];
  }

  #endThinking(): string[] {
    if (this.#thinkingId === null || this.#isThinkingDone) return [];
    this.#isThinkingDone = true;
    const where = { item_id: this.#thinkingId, output_index: this.#outputIndex, summary_index: 0 };
    const item = reasoningItem(this.#thinkingId, this.#thinking);
    return [
      this.#event('response.reasoning_summary_text.done', { ...where, text: this.#thinking }),
      this.#event('response.output_item.done', { output_index: this.#outputIndex++, item }),
    ];
  }

  #call(call: ToolCall, place: number): string[] {
    const id = `fc_${draw(this.#rng, 999_999)}_${place}`;
    const item = callItem(id, call);
    this.#calls.push(item);
    const args = item['arguments'];
    const output_index = this.#outputIndex + place;
    const added = { ...item, status: 'in_progress', arguments: '' };
    return [
      this.#event('response.output_item.added', { output_index, item: added }),
      this.#event('response.function_call_arguments.delta', { item_id: id, output_index, delta: args }),
      this.#event('response.function_call_arguments.done', { item_id: id, output_index, arguments: args }),
      this.#event('response.output_item.done', { output_index, item }),
    ];
  }

  #say(words: string): string[] {
    if (words === '' || this.#calls.length > 0) return [];
    const frames = this.#endThinking();
    const where = { item_id: this.#itemId, output_index: this.#outputIndex, content_index: 0 };
    if (this.#said === null) {
      const item = { id: this.#itemId, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
      frames.push(
        this.#event('response.output_item.added', { output_index: this.#outputIndex, item }),
        this.#event('response.content_part.added', { ...where, part: textPart('') }),
      );
    }
    this.#said = (this.#said ?? '') + words;
    return [...frames, this.#event('response.output_text.delta', { ...where, delta: words, logprobs: [] })];
  }
}
