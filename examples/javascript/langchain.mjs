/** LangChain, with the models of Ollama. */
import { ChatOllama, OllamaEmbeddings } from '@langchain/ollama';

const baseUrl = process.env.GATEWAY_URL ?? 'http://127.0.0.1:11435';

const chat = new ChatOllama({ baseUrl, model: 'llama3.2:3b' });
for await (const chunk of await chat.stream('Why is the sky blue?')) process.stdout.write(chunk.text);
console.log();

const embeddings = new OllamaEmbeddings({ baseUrl, model: 'nomic-embed-text' });
console.log('embedding:', (await embeddings.embedQuery('sky')).length, 'numbers');
