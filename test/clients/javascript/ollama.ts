import { Ollama } from 'ollama';
import { forecast, messages, prompt, texts, weather } from '../client.ts';
import { inProcess, seeUntil } from './in-process.ts';

const tools = [{ type: 'function', function: weather }];

export const ollamaJs = inProcess('ollama-js', 'ollama', {
  async list({ url }, see) {
    see(await new Ollama({ host: url }).list());
  },
  async show({ url, model }, see) {
    see(await new Ollama({ host: url }).show({ model }));
  },
  async chat({ url, model }, see) {
    see(await new Ollama({ host: url }).chat({ model, messages }));
  },
  async generate({ url, model }, see) {
    see(await new Ollama({ host: url }).generate({ model, prompt }));
    await seeUntil(await new Ollama({ host: url }).generate({ model, prompt, stream: true }), see);
  },
  async embed({ url, model }, see) {
    see(await new Ollama({ host: url }).embed({ model, input: texts }));
    see(await new Ollama({ host: url }).embeddings({ model, prompt }));
  },
  async stream({ url, model }, see) {
    await seeUntil(await new Ollama({ host: url }).chat({ model, messages, stream: true }), see);
  },
  async tools({ url, model }, see) {
    const ollama = new Ollama({ host: url });
    const called = await ollama.chat({ model, messages, tools });
    see(called);
    const [call] = called.message.tool_calls!;
    const answered = { role: 'tool', content: forecast, tool_name: call!.function.name };
    see(await ollama.chat({ model, messages: [...messages, called.message, answered], tools }));
    await seeUntil(await ollama.chat({ model, messages, tools, stream: true }), see);
  },
  async leave({ url, model }, see) {
    const stream = await new Ollama({ host: url }).chat({ model, messages, stream: true });
    await seeUntil(stream, see, () => stream.abort());
  },
});
