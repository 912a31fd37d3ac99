/** Log lines for eyes: `14:03:07.120 INFO: POST /api/chat llama3.2:3b → gpu1 200 in 1.2 s · first byte 80 ms · 42.1 tok/s`. */
import { prettyFactory, type PrettyOptions } from 'pino-pretty';

type Entry = Readonly<Record<string, unknown>>;
type Paint = Readonly<Record<'red' | 'yellow' | 'green' | 'gray' | 'magenta' | 'bold', (text: string) => string>>;

/** Takes a line of JSON, gives a line of text with its line break. */
export function createPrettifier(options: { readonly colour: boolean }): (json: string) => string {
  const settings: PrettyOptions = {
    colorize: options.colour,
    translateTime: 'SYS:HH:MM:ss.l',
    hideObject: true,
    messageFormat: (entry, messageKey, _levelLabel, { colors }) => sentenceOf(entry, String(entry[messageKey]), colors),
  };
  const prettify = prettyFactory(settings);
  return (json) => prettify(json);
}

function sentenceOf(entry: Entry, message: string, paint: Paint): string {
  return message === 'request' ? requestSentence(entry, paint) : otherSentence(entry, message, paint);
}

function requestSentence(entry: Entry, paint: Paint): string {
  const { method, route, model, backend, status, outcome } = entry;
  const paintOutcome = outcome === 'ok' ? paint.green : entry['level'] === 'info' ? paint.gray : paint.red;
  const words = [
    `${text(method)} ${text(route)}`,
    model === undefined ? '' : paint.bold(text(model)),
    backend === undefined ? '' : `→ ${text(backend)}`,
    entry['simulated'] === true ? paint.magenta('SIMULATED') : '',
    paintOutcome(outcome === 'ok' ? text(status) : `${text(status)} ${text(outcome)}`),
    entry['disconnect_phase'] === undefined ? '' : `(${text(entry['disconnect_phase'])})`,
    `in ${duration(entry['duration_ms'])}`,
    entry['slow'] === true ? paint.yellow('SLOW') : '',
  ];
  return [words.filter(Boolean).join(' '), ...detailsOf(entry).map((detail) => paint.gray(detail))].join(' · ');
}

function detailsOf(entry: Entry): string[] {
  const details = [
    above(entry['queue_ms']) ? `queue ${duration(entry['queue_ms'])}` : '',
    above(entry['load_ms'], 200) ? `load ${duration(entry['load_ms'])}` : '',
    above(entry['first_byte_ms']) ? `first byte ${duration(entry['first_byte_ms'])}` : '',
    entry['output_tokens'] === undefined
      ? ''
      : `${text(entry['prompt_tokens'] ?? '?')}+${text(entry['output_tokens'])} tokens`,
    entry['tokens_per_second'] === undefined ? '' : `${text(entry['tokens_per_second'])} tok/s`,
    above(entry['failovers']) ? `after ${text(entry['attempts'])} attempts` : '',
  ];
  return details.filter(Boolean);
}

const unremarkable: ReadonlySet<string> = new Set(['level', 'time', 'msg', 'simulated']);

function otherSentence(entry: Entry, message: string, paint: Paint): string {
  const fields = Object.entries(entry)
    .filter(([name]) => !unremarkable.has(name))
    .map(([name, value]) => `${paint.gray(`${name}=`)}${text(value)}`);
  const badge = entry['simulated'] === true ? [paint.magenta('SIMULATED')] : [];
  return [message, ...badge, ...fields].join(' ');
}

function above(value: unknown, limit = 0): boolean {
  return typeof value === 'number' && value > limit;
}

function duration(ms: unknown): string {
  if (typeof ms !== 'number') return '?';
  if (ms < 1000) return `${Math.round(ms * 10) / 10} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60_000).toFixed(1)} min`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
