/** POST /v1/audio/transcriptions: a form with a sound in it, which becomes a chat with a model that hears. */
import { converse } from './converse.ts';
import { goJson } from './json.ts';
import { type Errors, meetFaults } from './requests.ts';
import type { Route } from './router.ts';
import { bareAsk, textMessage } from './speech.ts';
import { compatError, jsonPlain, type Voice } from './voice.ts';
import { openaiErrorBody } from './openai-voice.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

export function transcriptionRoute(world: World, errors: Errors): Route {
  return {
    methods: ['POST'],
    path: '/v1/audio/transcriptions',
    async handle(exchange) {
      const form = await readForm(exchange);
      if (exchange.gone) return;
      const model = typeof form === 'string' ? null : textField(form, 'model');
      const faults = await meetFaults(world, exchange, { model, errors });
      if (faults === null) return;
      const problem = typeof form === 'string' ? form : formProblem(form);
      if (problem !== null) return exchange.send(400, errors.reply(400, problem, 'reading'));
      const { format, prompt, language } = fieldsOf(form as FormData);
      const words = [language, prompt].filter((part) => part !== '').join('\n');
      const message = { ...textMessage('user', `Transcribe this audio.\n${words}`), images: 1 };
      const ask = { ...bareAsk, kind: 'chat' as const, model: model ?? '', messages: [message], stream: false };
      converse(world, exchange, { ask, voice: transcriptVoice(format), faults });
    },
  };
}

/** Only ever whole: Ollama does not stream transcripts. */
function transcriptVoice(format: string): Voice {
  const isText = format === 'text';
  return {
    streamHeaders: jsonPlain,
    plainHeaders: isText ? [['Content-Type', 'text/plain']] : jsonPlain,
    part: () => [],
    ending: () => [],
    whole: ({ content }) => (isText ? content.trim() : `${goJson({ text: content.trim() })}\n`),
    error: (status, text, place) => compatError(openaiErrorBody(status, text), place),
    broken: () => [],
  };
}

/** The form, or what Go says of a body that is none. */
async function readForm(exchange: Exchange): Promise<FormData | string> {
  const contentType = exchange.request.headers['content-type'] ?? '';
  const body = await exchange.wholeBody();
  const prefix = 'failed to parse multipart form';
  if (!contentType.startsWith('multipart/form-data')) {
    return `${prefix}: request Content-Type isn't multipart/form-data`;
  }
  try {
    return await new Response(new Uint8Array(body), { headers: { 'content-type': contentType } }).formData();
  } catch {
    return `${prefix}: multipart: NextPart: EOF`;
  }
}

function textField(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}

function formProblem(form: FormData): string | null {
  if (textField(form, 'model') === '') return 'model is required';
  const file = form.get('file');
  if (!(file instanceof Blob)) return 'file is required: http: no such file';
  return file.size === 0 ? 'audio file is empty' : null;
}

function fieldsOf(form: FormData): { readonly format: string; readonly prompt: string; readonly language: string } {
  return {
    format: textField(form, 'response_format'),
    prompt: textField(form, 'prompt'),
    language: textField(form, 'language'),
  };
}
