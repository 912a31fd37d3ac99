/** Goes on with a client's stream in its own dialect, from the NDJSON of the backend that goes on with its text. */
import type { Usage } from '../../core/types.ts';
import type { Reading, Route } from '../dialect.ts';
import { goJsonString } from '../go-json.ts';
import { isBlank, parsed, type Json, type Told } from './transcript.ts';

export interface ResumedFrame {
  /** For the client. */
  readonly text: string;
  /** What the whole answer cost, both backends' parts of it; null until the last frame, which has the terminal marker. */
  readonly usage: Usage | null;
}

export interface ResumeVoice {
  /** Null for a line that does not go on with plain text: an error, thinking, a broken line. */
  frame(line: string): ResumedFrame | null;
}

/** `told` is what the client has; `reading` is of its request. */
export function createResumeVoice(route: Route, reading: Reading, told: Told): ResumeVoice {
  const words = route.dialect === 'openai' ? openai(reading, told) : native(route, reading, told);
  let separator: string = told.separator;
  return {
    frame(line) {
      const record = parsed(line);
      const content = record === null ? null : contentOf(record);
      if (record === null || content === null) return null;
      const before = separator;
      separator = '';
      if (record['done'] !== true) return { text: before + words.text(content, record), usage: null };
      const counts = countsOf(record, told);
      return { text: before + words.ending(content, record, counts), usage: usageOf(record, counts) };
    },
  };
}

interface Counts {
  readonly prompt: number;
  readonly output: number;
}

/** The second backend had what the first one said in its prompt; the client is told as if it had been one answer. */
function countsOf(record: Json, { tokens }: Told): Counts {
  const stated = (name: string): number => (typeof record[name] === 'number' ? record[name] : 0);
  return { prompt: Math.max(0, stated('prompt_eval_count') - tokens), output: stated('eval_count') + tokens };
}

function usageOf(record: Json, { prompt, output }: Counts): Usage {
  const times = { loadMs: 'load_duration', promptMs: 'prompt_eval_duration', totalMs: 'total_duration' } as const;
  const stated = Object.entries(times).flatMap(([key, name]) =>
    typeof record[name] === 'number' ? [[key, record[name] / 1e6] as const] : [],
  );
  return { promptTokens: prompt, outputTokens: output, ...Object.fromEntries(stated) };
}

/** Of a line of /api/chat or /api/generate; null when it says something else. */
function contentOf(record: Json): string | null {
  if (record['error'] !== undefined) return null;
  const said = (record['message'] ?? record) as Json;
  if (!isBlank(said['thinking']) || !isBlank(said['tool_calls'])) return null;
  const content = said['content'] ?? said['response'] ?? '';
  return typeof content === 'string' && typeof record['done'] === 'boolean' ? content : null;
}

interface Words {
  text(content: string, record: Json): string;
  ending(content: string, record: Json, counts: Counts): string;
}

function native({ endpoint }: Route, { modelText }: Reading, { first }: Told): Words {
  const opening = (record: Json): string => {
    const name = first?.['model'] ?? record['model'];
    const model = goJsonString(typeof name === 'string' ? name : (modelText ?? ''));
    return `{"model":${model},"created_at":${JSON.stringify(record['created_at'])}`;
  };
  const said = (content: string): string =>
    endpoint === 'chat'
      ? `"message":{"role":"assistant","content":${goJsonString(content)}}`
      : `"response":${goJsonString(content)}`;
  return {
    text: (content, record) => `${opening(record)},${said(content)},"done":false}\n`,
    ending(content, record, { prompt, output }) {
      const {
        model: _model,
        created_at: _at,
        message: _message,
        response: _response,
        // Tokens of the second part alone would be taken for those of the whole.
        context: _context,
        ...figures
      } = record;
      const rest = { ...figures, prompt_eval_count: prompt, eval_count: output, llamero: { resumed: 1 } };
      return `${opening(record)},${said(content)},${JSON.stringify(rest).slice(1)}\n`;
    },
  };
}

function openai({ modelText, wantsUsage }: Reading, { first, text: toldText }: Told): Words {
  let needsRole = first === null;
  const chunk = (record: Json, choices: readonly Json[], more: Json = {}): string => {
    const head = {
      id: first?.['id'] ?? 'chatcmpl-0',
      object: 'chat.completion.chunk',
      created: first?.['created'] ?? Math.floor(Date.parse(String(record['created_at'])) / 1000),
      model: first?.['model'] ?? record['model'] ?? modelText,
      system_fingerprint: first?.['system_fingerprint'] ?? 'fp_ollama',
    };
    return `data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`;
  };
  const said = (content: string, record: Json): string => {
    const delta = needsRole ? { role: 'assistant', content } : { content };
    needsRole = false;
    return chunk(record, [{ index: 0, delta, finish_reason: null }]);
  };
  return {
    text: said,
    ending(content, record, { prompt, output }) {
      const last = content === '' && (toldText !== '' || !needsRole) ? '' : said(content, record);
      const reason = record['done_reason'] ?? 'stop';
      const finish = chunk(record, [{ index: 0, delta: {}, finish_reason: reason }], { llamero: { resumed: 1 } });
      const usage = { prompt_tokens: prompt, completion_tokens: output, total_tokens: prompt + output };
      return `${last}${finish}${wantsUsage ? chunk(record, [], { usage }) : ''}data: [DONE]\n\n`;
    },
  };
}
