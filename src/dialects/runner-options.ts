/**
 * The options that shape a runner (ollama-wire §2.3): another value of one of them reloads the model. Sampling options do not.
 */
import type { BodyFields } from './body-fields.ts';
import { decodeString, eachMember, kindAt, type Span, valueEnd } from './json-outline.ts';
import { outputLimit } from './reading.ts';

const RUNNER_OPTIONS: ReadonlySet<string> = new Set([
  'num_ctx',
  'num_batch',
  'num_gpu',
  'main_gpu',
  'use_mmap',
  'num_thread',
  'draft_num_predict',
]);

/** Values that ask for what Ollama does anyway. */
const NO_STATEMENT: ReadonlySet<string> = new Set(['num_gpu=-1', 'num_thread=0', 'shift=true']);

/** The `options` a body states: as Ollama's map of them, in which later occurrences add to earlier ones and null clears. */
export interface StatedOptions {
  /** Canonical text of those that shape the runner, e.g. `num_ctx=8192,shift=false`; '' when none is stated. */
  readonly runner: string;
  /** Names of those that shape the runner, `shift` among them. */
  readonly names: readonly string[];
  /** `num_predict` as it stands there; null when it does not. */
  readonly outputLimit: number | null;
  /** The most tokens asked for; null when there is no limit. */
  readonly maxOutputTokens: number | null;
  /** The context length asked for; null when none is. */
  readonly contextLength: number | null;
}

export function statedOptions(fields: BodyFields): StatedOptions {
  const values = new Map<string, number | boolean>();
  for (const span of fields.all('options')) {
    if (kindAt(fields.body, span.start) === 'object') {
      addOptions(fields, span, values);
    } else {
      values.clear();
    }
  }
  const shift = fields.flagAt(fields.last('shift'));
  if (shift !== null) {
    values.set('shift', shift);
  }
  const limit = values.get('num_predict');
  const contextLength = values.get('num_ctx');
  values.delete('num_predict');
  const stated = [...values].map(([name, value]) => `${name}=${value}`).filter((text) => !NO_STATEMENT.has(text));
  const predicted = typeof limit === 'number' ? limit : null;
  return {
    names: [...values.keys()],
    outputLimit: predicted,
    runner: stated.toSorted().join(','),
    maxOutputTokens: outputLimit(predicted),
    contextLength: typeof contextLength === 'number' ? contextLength : null,
  };
}

/** Keys of a Go map are exact, unlike those of a struct. A null changes nothing; what has the wrong type Ollama refuses. */
function addOptions(fields: BodyFields, { start }: Span, values: Map<string, number | boolean>): void {
  eachMember(fields.body, start, (written, from) => {
    const name = decodeString(written);
    const value = { start: from, end: valueEnd(fields.body, from) };
    if (name !== 'num_predict' && !RUNNER_OPTIONS.has(name)) {
      return value.end;
    }
    const number = fields.numberAt(value);
    const stated = number === null ? fields.flagAt(value) : Math.trunc(number);
    if (stated !== null && !Number.isNaN(stated)) {
      values.set(name, stated);
    }
    return value.end;
  });
}
