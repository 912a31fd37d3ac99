import OpenAI from 'openai';
import { forecast, messages, prompt, texts, weather } from '../client.ts';
import { inProcess, seeUntil } from './in-process.ts';

export function connect(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'ollama', maxRetries: 0, logLevel: 'off' });
}

const tools = [{ type: 'function' as const, function: weather }];
const streamed = { stream: true, stream_options: { include_usage: true } } as const;

export const openaiJs = inProcess('openai (JS)', 'openai', {
  async list({ url }, see) {
    see(await connect(url).models.list());
  },
  async show({ url, model }, see) {
    see(await connect(url).models.retrieve(model));
  },
  async chat({ url, model }, see) {
    see(await connect(url).chat.completions.create({ model, messages }));
  },
  async generate({ url, model }, see) {
    see(await connect(url).completions.create({ model, prompt }));
    await seeUntil(await connect(url).completions.create({ model, prompt, ...streamed }), see);
  },
  async embed({ url, model }, see) {
    see(await connect(url).embeddings.create({ model, input: texts }));
    see(await connect(url).embeddings.create({ model, input: prompt, encoding_format: 'float', dimensions: 8 }));
  },
  // Without usage, as most applications ask: the gateway asks for it on its own behalf, and must not let it show.
  async stream({ url, model }, see) {
    await seeUntil(await connect(url).chat.completions.create({ model, messages, stream: true }), see);
  },
  async tools({ url, model }, see) {
    const { completions } = connect(url).chat;
    const called = await completions.create({ model, messages, tools });
    see(called);
    const { message } = called.choices[0]!;
    const answered = { role: 'tool' as const, content: forecast, tool_call_id: message.tool_calls![0]!.id };
    see(await completions.create({ model, messages: [...messages, message, answered], tools }));
    await seeUntil(await completions.create({ model, messages, tools, ...streamed }), see);
    see(await completions.stream({ model, messages, tools }).finalChatCompletion());
  },
  async leave({ url, model }, see) {
    const stream = await connect(url).chat.completions.create({ model, messages, stream: true });
    await seeUntil(stream, see, () => stream.controller.abort());
  },
});
