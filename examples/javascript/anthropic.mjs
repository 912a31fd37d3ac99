/** Anthropic's library. Its base URL has no /v1. */
import Anthropic from '@anthropic-ai/sdk';

const anthropic = new Anthropic({
  baseURL: process.env.GATEWAY_URL ?? 'http://127.0.0.1:11435',
  apiKey: process.env.ANTHROPIC_API_KEY ?? 'ollama',
});

const stream = anthropic.messages.stream({
  model: 'llama3.2:3b',
  max_tokens: 200,
  messages: [{ role: 'user', content: 'Why is the sky blue?' }],
});
stream.on('text', (text) => process.stdout.write(text));
const { usage } = await stream.finalMessage();
console.log(`\n${usage.input_tokens} tokens in, ${usage.output_tokens} out`);
