/** A request's options as Ollama's structs take them: which are of what type, and which shape the runner. */
import type { RunnerOptions } from './scheduler-types.ts';

type OptionType = 'integer' | 'float32' | 'boolean' | 'array';

const optionTypes: Readonly<Record<string, OptionType>> = {
  num_keep: 'integer',
  seed: 'integer',
  num_predict: 'integer',
  top_k: 'integer',
  top_p: 'float32',
  min_p: 'float32',
  typical_p: 'float32',
  repeat_last_n: 'integer',
  temperature: 'float32',
  repeat_penalty: 'float32',
  presence_penalty: 'float32',
  frequency_penalty: 'float32',
  stop: 'array',
  num_ctx: 'integer',
  num_batch: 'integer',
  num_gpu: 'integer',
  main_gpu: 'integer',
  use_mmap: 'boolean',
  num_thread: 'integer',
  draft_num_predict: 'integer',
};

/** The first option of a wrong type, as Ollama refuses it: with a 500. Unknown options pass. */
export function optionProblem(
  options: Readonly<Record<string, unknown>>,
): { readonly status: number; readonly text: string } | null {
  for (const [name, value] of Object.entries(options)) {
    const type = Object.hasOwn(optionTypes, name) ? optionTypes[name]! : null;
    if (type === null || value === null || fits(value, type)) continue;
    return { status: 500, text: `option "${name}" must be of type ${type}` };
  }
  return null;
}

function fits(value: unknown, type: OptionType): boolean {
  switch (type) {
    case 'integer':
    case 'float32':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'array':
      return Array.isArray(value);
  }
}

/** Those a change of which reloads the model (ollama-wire §2.3). */
export function runnerOptions(options: Readonly<Record<string, unknown>>, shift: boolean | null): RunnerOptions {
  const number = (name: string): number | undefined => {
    const value = options[name];
    return typeof value === 'number' ? Math.trunc(value) : undefined;
  };
  const mmap = options['use_mmap'];
  const shaping = {
    num_ctx: number('num_ctx'),
    num_batch: number('num_batch'),
    num_thread: number('num_thread'),
    num_gpu: number('num_gpu'),
    main_gpu: number('main_gpu'),
    draft_num_predict: number('draft_num_predict'),
    use_mmap: typeof mmap === 'boolean' ? mmap : undefined,
    shift: shift ?? undefined,
  };
  return Object.fromEntries(Object.entries(shaping).filter(([, value]) => value !== undefined));
}
