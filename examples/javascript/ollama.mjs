/** Ollama's own library: nothing changes but the host. */
import { Ollama } from 'ollama';

const ollama = new Ollama({ host: process.env.GATEWAY_URL ?? 'http://127.0.0.1:11435' });

const { models } = await ollama.list();
console.log('models:', models.map(({ name }) => name).join(', '));

const messages = [{ role: 'user', content: 'Why is the sky blue?' }];
for await (const part of await ollama.chat({ model: 'llama3.2:3b', messages, stream: true })) {
  process.stdout.write(part.message.content);
}
console.log();

const { embeddings } = await ollama.embed({ model: 'nomic-embed-text', input: ['sky', 'sea'] });
console.log('embeddings:', embeddings.length, 'of', embeddings[0].length, 'numbers');
