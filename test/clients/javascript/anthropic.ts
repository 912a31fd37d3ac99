import Anthropic from '@anthropic-ai/sdk';
import { forecast, messages, weather } from '../client.ts';
import { inProcess, seeUntil } from './in-process.ts';

function connect(url: string): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'ollama', maxRetries: 0, logLevel: 'off' });
}

const tools = [{ name: weather.name, description: weather.description, input_schema: weather.parameters }];
const max_tokens = 100;

export const anthropicJs = inProcess('@anthropic-ai/sdk', '@anthropic-ai/sdk', {
  async list({ url }, see) {
    see(await connect(url).models.list());
  },
  async show({ url, model }, see) {
    see(await connect(url).models.retrieve(model));
  },
  async chat({ url, model }, see) {
    see(await connect(url).messages.create({ model, max_tokens, messages }));
  },
  async stream({ url, model }, see) {
    await seeUntil(await connect(url).messages.create({ model, max_tokens, messages, stream: true }), see);
  },
  async tools({ url, model }, see) {
    const anthropic = connect(url);
    const called = await anthropic.messages.create({ model, max_tokens, messages, tools });
    see(called);
    const use = called.content.find((block) => block.type === 'tool_use')!;
    const result = { type: 'tool_result' as const, tool_use_id: use.id, content: forecast };
    const talk = [
      ...messages,
      { role: 'assistant' as const, content: called.content },
      { role: 'user' as const, content: [result] },
    ];
    see(await anthropic.messages.create({ model, max_tokens, messages: talk, tools }));
    await seeUntil(await anthropic.messages.create({ model, max_tokens, messages, tools, stream: true }), see);
    see(await anthropic.messages.stream({ model, max_tokens, messages, tools }).finalMessage());
  },
  async leave({ url, model }, see) {
    const stream = await connect(url).messages.create({ model, max_tokens, messages, stream: true });
    await seeUntil(stream, see, () => stream.controller.abort());
  },
});
