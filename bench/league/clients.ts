/** The clients of a live run: the conversations of a case over HTTP, at a multiple of their pace. Times in simulated ms. */
import { Agent, request } from 'node:http';
import { scaledClock } from '../../src/simulator/clock.ts';
import { realClock } from '../../src/system.ts';
import type { Conversation, Turn, Workload } from '../sim/workload.ts';
import type { Record } from '../sim/world.ts';
import { modelName } from './ollamas.ts';

export interface Playing {
  readonly port: number;
  readonly scale: number;
  readonly horizonMs: number;
  readonly warmUpMs: number;
}

/** Plays to the horizon and cuts what has not ended then. `warmedUp` is called when what is measured begins. */
export async function playLive(
  { conversations }: Workload,
  { horizonMs, port, scale, warmUpMs }: Playing,
  warmedUp: () => void,
): Promise<readonly Record[]> {
  const clock = scaledClock(realClock, scale);
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  const records: Record[] = [];
  const open = new Set<() => void>();
  let isOver = false;

  function speak(conversation: Conversation, index: number): void {
    const turn = conversation.turns[index];
    if (turn === undefined || isOver) return;
    const ask = { id: records.length, conversation, turn, arrivedAt: clock.now() };
    const record: Record = { ask, backend: null, firstAt: null, doneAt: null, refused: false, cachedTokens: 0 };
    records.push(record);
    const call = request({ agent, host: '127.0.0.1', port, path: '/api/chat', method: 'POST' });
    const cut = (): void => void call.destroy();
    open.add(cut);
    const failed = (): void => {
      open.delete(cut);
      if (!isOver) record.refused = true;
    };
    call.on('error', failed);
    call.on('response', (response) => {
      let last = '';
      response.on('error', failed);
      response.on('data', (chunk: Buffer) => {
        if (response.statusCode === 200) record.firstAt ??= clock.now();
        last = (last + chunk.toString('latin1')).slice(-1024);
      });
      response.on('end', () => {
        if (response.statusCode !== 200 || !last.includes('"done":true')) return failed();
        open.delete(cut);
        record.doneAt = clock.now();
        clock.after(turn.thinkMs, () => speak(conversation, index + 1));
      });
    });
    call.end(bodyOf(conversation, index));
  }

  for (const conversation of conversations) clock.after(conversation.atMs, () => speak(conversation, 0));
  clock.after(warmUpMs, warmedUp);
  await new Promise<void>((resolve) => void clock.after(horizonMs, resolve));
  isOver = true;
  for (const cut of open) cut();
  agent.destroy();
  return records.filter(({ ask }) => ask.arrivedAt >= warmUpMs);
}

/** What the simulator counts for a message beside its text, and what a token of text is. */
const TEMPLATE_TOKENS = 4;
const TOKEN_BYTES = 4;

function bodyOf({ id, model, turns }: Conversation, index: number): string {
  const messages: { role: string; content: string }[] = [];
  let tokens = 0;
  turns.slice(0, index + 1).forEach((turn, place) => {
    messages.push({ role: 'user', content: textOf(`${id}.${place} asks`, turn.promptTokens - tokens) });
    tokens = turn.promptTokens;
    if (place === index) return;
    messages.push({ role: 'assistant', content: textOf(`${id}.${place} hears`, turn.outputTokens) });
    tokens += turn.outputTokens;
  });
  const options = { num_predict: turns[index]!.outputTokens };
  return JSON.stringify({ model: modelName(model), stream: true, messages, options });
}

/** Text that nobody else says, of about so many tokens with what the template adds. */
function textOf(begins: string, tokens: number): string {
  const length = Math.max(1, tokens - TEMPLATE_TOKENS) * TOKEN_BYTES;
  return begins.padEnd(length, ' and so on').slice(0, Math.max(begins.length, length));
}

/** As the wire has it: the simulated Ollama there remembers prompts, and not what was answered to them. */
export function withoutAnswers(workload: Workload): Workload {
  const conversations = workload.conversations.map((conversation) => ({
    ...conversation,
    turns: conversation.turns.map((turn): Turn => {
      const { outputTokens, prefix, promptTokens, reusableTokens, thinkMs } = turn;
      return { outputTokens, prefix, promptTokens, reusableTokens, thinkMs };
    }),
  }));
  return { ...workload, conversations };
}
