/**
 * What an error answer of a backend means. By its text, not by the class of its status: Ollama answers clients' mistakes with
 * 500 and 501, and its own full queue with 503 (ollama-wire §1.5). What each failure then leads to is core's table
 * (core/retry.ts): whether another backend may do better, and whom it speaks against.
 */
import type { AttemptFailure } from '../core/retry.ts';
import type { DialectName } from './dialect.ts';

interface TextRule {
  /** The statuses it holds for; absent: any, and in-band. */
  readonly statuses?: readonly number[];
  readonly text: RegExp;
  readonly failure: AttemptFailure;
}

/**
 * The first rule whose text is found decides. What no rule knows is judged by its status alone. Where a rule could speak
 * against a backend its text is anchored: some errors quote the client, and a client must not be able to say them.
 */
const textRules: readonly TextRule[] = [
  { statuses: [503], text: /^server busy\b.*maximum pending requests exceeded/s, failure: 'backend-busy' },
  { statuses: [404], text: /^model ['"].*['"] not found/s, failure: 'model-missing' },
  { statuses: [404], text: /^404 page not found/, failure: 'route-missing' },
  // What ollama.com or the way to it answers: the backend itself is well, and another may be signed in.
  { statuses: [401], text: /./s, failure: 'cloud-unavailable' },
  { statuses: [403], text: /^ollama cloud is disabled/, failure: 'cloud-unavailable' },
  { statuses: [502], text: /^\w+ "https:\/\/ollama\.com\b/, failure: 'cloud-unavailable' },
  { statuses: [503], text: /^Server overloaded, please retry/, failure: 'rate-limited' },
  // Clients' mistakes that Ollama answers with 500 or 501, or tells in the middle of a stream.
  { text: /^option ".*" must be of type/s, failure: 'client-mistake' },
  { text: /^invalid (?:format|option|image|message|role)\b/, failure: 'client-mistake' },
  {
    text: /does not support (?:embeddings|chat|generate|tools|insert|vision|thinking|completion)/i,
    failure: 'client-mistake',
  },
  { text: /^template: |\btemplate error\b/, failure: 'client-mistake' },
  { text: /\bgrammar\b/i, failure: 'client-mistake' },
  {
    text: /input length exceeds|prompt is longer than the context|exceeds? the (?:available )?context/,
    failure: 'client-mistake',
  },
  { text: /^(?:pull|push) model manifest:|^max retries exceeded/, failure: 'client-mistake' },
  {
    text: /"type":\s*"(?:invalid_request_error|not_supported_error|exceed_context_size_error)"/,
    failure: 'client-mistake',
  },
  { text: /^(?:json|strconv|time|illegal base64)\b.*:/, failure: 'client-mistake' },
  { text: /failed to (?:load|decode|process) (?:image|audio)|^image: unknown format/, failure: 'client-mistake' },
];

/**
 * How an attempt failed that was answered with `status` (400 and above) and `body`, in the dialect that was spoken.
 */
export function classify(status: number, body: string, dialect: DialectName): AttemptFailure {
  const text = errorTextOf(body, dialect);
  const rule = textRules.find(({ statuses, text: known }) => (statuses?.includes(status) ?? true) && known.test(text));
  return rule?.failure ?? failureOfStatus(status, text);
}

/** How an answer failed that said `text` in-band, after its head: the runner, unless the text tells of something else. */
export function classifyInBand(text: string): AttemptFailure {
  const rule = textRules.find(({ statuses, text: known }) => statuses === undefined && known.test(text));
  return rule?.failure ?? 'runner-failed';
}

/** The sentence in an error body of any of the three shapes; the body itself when it has none of them. */
export function errorTextOf(body: string, dialect: DialectName): string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return body.trim();
  }
  const error = memberOf(value, 'error');
  const text = dialect === 'ollama' ? error : (memberOf(error, 'message') ?? error);
  return typeof text === 'string' ? text : JSON.stringify(text ?? value);
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

function failureOfStatus(status: number, text: string): AttemptFailure {
  switch (status) {
    case 403:
      // Without a word it is Ollama's check of Host and Origin, which refuses whatever this gateway sends there.
      return text === '' ? 'backend-unavailable' : 'client-mistake';
    case 429:
    case 529:
      return 'rate-limited';
    case 500:
      return 'runner-failed';
    case 501:
      return 'client-mistake';
    default:
      return status > 501 ? 'backend-unavailable' : 'client-mistake';
  }
}
