/** OpenAI's library, with chat completions and responses. */
import OpenAI from 'openai';

const url = process.env.GATEWAY_URL ?? 'http://127.0.0.1:11435';
// A key has to be there for the library; what it is matters only to a gateway that asks for one.
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: process.env.OPENAI_API_KEY ?? 'ollama' });

const stream = await openai.chat.completions.create({
  model: 'llama3.2:3b',
  messages: [{ role: 'user', content: 'Why is the sky blue?' }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '');
console.log();

const response = await openai.responses.create({ model: 'llama3.2:3b', input: 'And the sea?' });
console.log(response.output_text);
