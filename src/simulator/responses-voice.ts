/** OpenAI's Responses as Ollama's compatibility layer writes them. */
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
  const items = itemWriter(context, itemId, event);
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
  const { effort, summary } = request.reasoning;
  const isStream = request.stream === true;
  const absent = isStream ? null : undefined;
  const format = request.text?.format ?? null;
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
    text: {
      format:
        format === null
          ? { type: 'text' }
          : {
              type: format.type,
              name: format.name || undefined,
              schema: format.schema === null ? undefined : plain(format.schema),
              strict: format.strict ?? undefined,
            },
    },
    top_p: request.top_p ?? 1,
    presence_penalty: 0,
    frequency_penalty: 0,
    top_logprobs: 0,
    temperature: request.temperature ?? 1,
    reasoning: effort === '' && summary === '' ? null : { effort: effort || absent, summary: summary || absent },
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

interface ItemWriter {
  add(part: Part): string[];
  close(): string[];
  output(): Json[];
}

/** Output items of a stream: reasoning, then either tool calls or one message. */
function itemWriter(
  { rng }: ResponsesContext,
  itemId: string,
  event: (type: string, fields: Json) => string,
): ItemWriter {
  let outputIndex = 0;
  let thinking = '';
  let thinkingId: string | null = null;
  let thinkingDone = false;
  let said: string | null = null;
  const calls: Json[] = [];

  function think(words: string): string[] {
    if (words === '') return [];
    const frames: string[] = [];
    if (thinkingId === null) {
      thinkingId = `rs_${draw(rng, 999_999)}`;
      const item = { id: thinkingId, type: 'reasoning', summary: [] };
      frames.push(event('response.output_item.added', { output_index: outputIndex, item }));
    }
    thinking += words;
    const where = { item_id: thinkingId, output_index: outputIndex, summary_index: 0 };
    return [...frames, event('response.reasoning_summary_text.delta', { ...where, delta: words })];
  }

  function endThinking(): string[] {
    if (thinkingId === null || thinkingDone) return [];
    thinkingDone = true;
    const where = { item_id: thinkingId, output_index: outputIndex, summary_index: 0 };
    const item = reasoningItem(thinkingId, thinking);
    return [
      event('response.reasoning_summary_text.done', { ...where, text: thinking }),
      event('response.output_item.done', { output_index: outputIndex++, item }),
    ];
  }

  function call(each: ToolCall, place: number): string[] {
    const id = `fc_${draw(rng, 999_999)}_${place}`;
    const item = callItem(id, each);
    calls.push(item);
    const args = item['arguments'];
    const where = { item_id: id, output_index: outputIndex + place };
    const added = { ...item, status: 'in_progress', arguments: '' };
    return [
      event('response.output_item.added', { output_index: outputIndex + place, item: added }),
      event('response.function_call_arguments.delta', { ...where, delta: args }),
      event('response.function_call_arguments.done', { ...where, arguments: args }),
      event('response.output_item.done', { output_index: outputIndex + place, item }),
    ];
  }

  function say(words: string): string[] {
    if (words === '' || calls.length > 0) return [];
    const frames = endThinking();
    const where = { item_id: itemId, output_index: outputIndex, content_index: 0 };
    if (said === null) {
      const item = { id: itemId, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
      frames.push(
        event('response.output_item.added', { output_index: outputIndex, item }),
        event('response.content_part.added', { ...where, part: textPart('') }),
      );
    }
    said = (said ?? '') + words;
    return [...frames, event('response.output_text.delta', { ...where, delta: words, logprobs: [] })];
  }

  return {
    add(part) {
      const thought = think(part.thinking);
      const called = part.toolCalls.length === 0 ? [] : [...endThinking(), ...part.toolCalls.flatMap(call)];
      return [...thought, ...called, ...say(part.content)];
    },
    close() {
      const frames = endThinking();
      if (calls.length > 0 || said === null) return frames;
      const where = { item_id: itemId, output_index: outputIndex, content_index: 0 };
      return [
        ...frames,
        event('response.output_text.done', { ...where, text: said, logprobs: [] }),
        event('response.content_part.done', { ...where, part: textPart(said) }),
        event('response.output_item.done', { output_index: outputIndex, item: messageItem(itemId, said) }),
      ];
    },
    output: () => [
      ...(thinkingId === null ? [] : [reasoningItem(thinkingId, thinking)]),
      ...(calls.length > 0 ? calls : said === null ? [] : [messageItem(itemId, said)]),
    ],
  };
}
