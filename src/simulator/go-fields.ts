/** Field types of Ollama's requests that read themselves: durations, `think`, images. */
import type { Millis } from '../core/types.ts';
import { goDuration } from '../dialects/keep-alive.ts';
import { goQuoted, GoNumber, type GoValue } from '../dialects/go-json.ts';
import { custom, plain, type Shape } from './go-bind.ts';
import { goJson } from './json.ts';

/** Milliseconds; Infinity for ever; null when absent. */
export const keepAlive: Shape<Millis | null> = custom<Millis | null>('api.Duration', null, (value) => {
  if (value instanceof GoNumber) {
    const seconds = Number(value.text);
    return seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1_000;
  }
  if (typeof value !== 'string') throw new Error(`Unsupported type: '${goTypeOf(value)}'`);
  const nanoseconds = goDuration(value);
  if (nanoseconds === null) throw new Error(durationProblem(value));
  return nanoseconds < 0 ? Number.POSITIVE_INFINITY : nanoseconds / 1e6;
});

/** What time.ParseDuration says of a text it refuses. */
export function durationProblem(duration: string): string {
  const quoted = goQuoted(duration);
  const invalid = `time: invalid duration ${quoted}`;
  let rest = duration.replace(/^[+-]/u, '');
  if (rest === '') return invalid;
  while (rest !== '') {
    const number = /^(?:\d+\.?\d*|\.\d+)/u.exec(rest)?.[0];
    if (number === undefined) return invalid;
    rest = rest.slice(number.length);
    const unit = /^[^.\d]*/u.exec(rest)![0];
    if (unit === '') return `time: missing unit in duration ${quoted}`;
    if (!/^(?:ns|us|\u00B5s|\u03BCs|ms|s|m|h)$/u.test(unit)) {
      return `time: unknown unit ${goQuoted(unit)} in duration ${quoted}`;
    }
    rest = rest.slice(unit.length);
  }
  return invalid;
}

const levels = ['high', 'medium', 'low', 'max'];
const levelList = '"high", "medium", "low", "max", true, or false';

/** Whether to think, or how much; null when absent. */
export const think: Shape<boolean | string | null> = custom<boolean | string | null>(
  'api.ThinkValue',
  null,
  (value) => {
    if (typeof value === 'boolean') return value;
    if (typeof value !== 'string') throw new Error(`think must be a boolean or string (${levelList})`);
    if (!levels.includes(value)) throw new Error(`invalid think value: ${goQuoted(value)} (must be ${levelList})`);
    return value;
  },
);

/** Base64 as encoding/json reads it into bytes; the simulator only counts them. */
export const image: Shape<number> = {
  goType: '[]uint8',
  zero: 0,
  read(value, place) {
    if (typeof value === 'string') {
      const problem = base64Problem(value);
      if (problem !== null) place.complain(`illegal base64 data at input byte ${problem}`);
      return Math.floor((value.length * 3) / 4);
    }
    if (value !== null) {
      const where = place.struct === '' ? 'Go value' : `Go struct field ${place.struct}.${place.field}`;
      place.complain(`json: cannot unmarshal ${goTypeOf(value)} into ${where} of type []uint8`);
    }
    return 0;
  },
};

/** Where Go stops to understand standard base64, or null when it does not. */
export function base64Problem(encoded: string): number | null {
  const body = /^[A-Za-z0-9+/\r\n]*/u.exec(encoded)![0];
  const quantum = body.replaceAll(/[\r\n]/gu, '').length % 4;
  const padding = encoded.slice(body.length).replaceAll(/[\r\n]/gu, '');
  const wanted = quantum === 0 ? '' : quantum === 1 ? null : '='.repeat(4 - quantum);
  if (padding === wanted) return null;
  if (padding === '') return encoded.length - quantum;
  if (wanted === null) return body.length;
  if (padding.startsWith(wanted)) return body.length + wanted.length;
  return wanted.startsWith(padding) ? encoded.length : body.length;
}

/** A json.RawMessage as text; empty for none. */
export function goText(value: GoValue): string {
  return value === null ? '' : goJson(plain(value));
}

function goTypeOf(value: GoValue): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof GoNumber) return 'number';
  return typeof value === 'string' ? 'string' : 'object';
}
