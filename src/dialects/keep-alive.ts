/** `keep_alive` as Ollama reads it: seconds as a number, a Go duration as text, below zero for ever. */
import type { Millis } from '../core/types.ts';
import type { BodyFields } from './body-fields.ts';
import { kindAt } from './json-outline.ts';

const UNIT_NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  '\u00B5s': 1e3,
  '\u03BCs': 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3_600e9,
};

/** Milliseconds; Infinity for ever; null when the body states none, or something Ollama refuses. */
export function keepAliveOf(fields: BodyFields): Millis | null {
  const span = fields.last('keep_alive');
  if (span === null) {
    return null;
  }
  const seconds = fields.numberAt(span);
  if (seconds !== null) {
    return lasting(Math.trunc(seconds * 1e9));
  }
  const nanoseconds = kindAt(fields.body, span.start) === 'string' ? goDuration(fields.textAt(span)) : null;
  return nanoseconds === null ? null : lasting(nanoseconds);
}

function lasting(nanoseconds: number): Millis {
  return nanoseconds < 0 ? Number.POSITIVE_INFINITY : Math.abs(nanoseconds) / 1e6;
}

/** Whole nanoseconds of a duration as Go's time.ParseDuration reads it, e.g. `1h30m`, `-1s`, `0`; null when it refuses it. */
export function goDuration(text: string): number | null {
  const match = /^([+-]?)(.*)$/s.exec(text)!;
  const sign = match[1] === '-' ? -1 : 1;
  const magnitude = match[2]!;
  if (magnitude === '0') {
    return 0;
  }
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00B5s|\u03BCs|ms|s|m|h))+$/.test(magnitude)) {
    return null;
  }
  let nanoseconds = 0;
  for (const [, number, unit] of magnitude.matchAll(/([\d.]+)([a-z\u00B5\u03BC]+)/g)) {
    nanoseconds += Math.trunc(Number(number) * UNIT_NANOSECONDS[unit!]!);
  }
  return nanoseconds > Number.MAX_SAFE_INTEGER * 1_024 ? null : sign * nanoseconds;
}
