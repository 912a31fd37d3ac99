import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOllama, Ollama, OllamaEmbeddings } from '@langchain/ollama';
import { forecast, prompt, texts, weather } from '../client.ts';
import { inProcess, seeUntil } from './in-process.ts';

function chatModel(url: string, model: string): ChatOllama {
  return new ChatOllama({ baseUrl: url, model, maxRetries: 0 });
}

const tools = [{ type: 'function', function: weather }];

export const langchain = inProcess('LangChain', '@langchain/ollama', {
  async chat({ url, model }, see) {
    see(await chatModel(url, model).invoke(prompt));
  },
  async generate({ url, model }, see) {
    const llm = new Ollama({ baseUrl: url, model, maxRetries: 0 });
    see(await llm.invoke(prompt));
    await seeUntil(await llm.stream(prompt), see);
  },
  async embed({ url, model }, see) {
    const embeddings = new OllamaEmbeddings({ baseUrl: url, model, maxRetries: 0 });
    see(await embeddings.embedDocuments(texts));
    see(await embeddings.embedQuery(prompt));
  },
  async stream({ url, model }, see) {
    await seeUntil(await chatModel(url, model).stream(prompt), see);
  },
  async tools({ url, model }, see) {
    const chat = chatModel(url, model).bindTools(tools);
    const called = await chat.invoke(prompt);
    see(called);
    const answered = new ToolMessage({ content: forecast, tool_call_id: called.tool_calls![0]!.id ?? '' });
    see(await chat.invoke([new HumanMessage(prompt), called, answered]));
    await seeUntil(await chat.stream(prompt), see);
  },
  async leave({ url, model }, see) {
    const leaving = new AbortController();
    const stream = await chatModel(url, model).stream(prompt, { signal: leaving.signal });
    await seeUntil(stream, see, () => leaving.abort());
  },
});
