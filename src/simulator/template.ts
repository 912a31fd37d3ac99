/** How a simulated model's prompt is written: ChatML, in which a last message of the assistant's is left open, to be gone on with. */
import { type Ask, type Message, textMessage } from './speech.ts';

const START = '<|im_start|>';
const END = '<|im_end|>\n';

/** The prompt as the model gets it. */
export function renderPrompt({ messages, raw }: Pick<Ask, 'messages' | 'raw'>): string {
  if (raw) return messages.map(({ content }) => content).join('');
  const isBegun = messages.at(-1)?.role === 'assistant';
  const closed = isBegun ? messages.slice(0, -1) : messages;
  const written = closed.map(({ role, content }) => `${START}${role}\n${content}${END}`).join('');
  return `${written}${START}assistant\n${isBegun ? messages.at(-1)!.content : ''}`;
}

/** The messages of a prompt that was rendered before, the last of them the assistant's if it has begun; null for any other text. */
export function readPrompt(prompt: string): readonly Message[] | null {
  if (!prompt.startsWith(START)) return null;
  const messages: Message[] = [];
  for (const written of prompt.slice(START.length).split(`${END}${START}`)) {
    const roleEnd = written.indexOf('\n');
    if (roleEnd < 0) return null;
    messages.push(textMessage(written.slice(0, roleEnd), written.slice(roleEnd + 1)));
  }
  const last = messages.at(-1)!;
  if (last.role !== 'assistant') return null;
  return last.content === '' ? messages.slice(0, -1) : messages;
}
