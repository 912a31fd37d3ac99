/** What a model's name tells about its weights, for models nobody described in detail. */
import { createHash } from 'node:crypto';
import type { ModelSpec } from './options.ts';

/** What is known of a weights blob. Two names of one blob share it, and with it the runner. */
export interface Weights {
  /** `sha256:` and 64 hex digits; the runner's identity. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly family: string;
  readonly parameters: number;
  /** As in `ollama list`, e.g. `3.2B`. */
  readonly parameterSize: string;
  readonly quantization: string;
  /** Trained context in tokens. */
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly capabilities: readonly string[];
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

const bytesPerParameter: Readonly<Record<string, number>> = { Q4_K_M: 0.6, Q4_0: 0.56, Q8_0: 1.06, F16: 2, F32: 4 };

const embeddingNames = /embed|minilm|bge|(?:^|\/)e5|arctic/iu;

const families: readonly (readonly [RegExp, string])[] = [
  [/nomic-embed/iu, 'nomic-bert'],
  [embeddingNames, 'bert'],
  [/qwen3/iu, 'qwen3'],
  [/qwen|qwq/iu, 'qwen2'],
  [/gemma3/iu, 'gemma3'],
  [/gemma/iu, 'gemma2'],
  [/phi/iu, 'phi3'],
  [/gpt-oss/iu, 'gptoss'],
];

const talents: readonly (readonly [RegExp, string])[] = [
  [/llama3\.[1-9]|qwen|mistral|gpt-oss|granite/iu, 'tools'],
  [/coder|codellama|starcoder/iu, 'insert'],
  [/llava|vision|-vl|gemma3|moondream/iu, 'vision'],
  [/whisper|voxtral|ultravox|gemma3n/iu, 'audio'],
  [/qwen3|deepseek-r1|gpt-oss|magistral/iu, 'thinking'],
];

/** What a name such as `llama3.2:3b` tells; anything in the spec wins. */
export function weightsOf(spec: ModelSpec): Weights {
  const { name, revision = '', ...told } = spec;
  const embeds = embeddingNames.test(name);
  const quantization = spec.quantization ?? (embeds ? 'F16' : 'Q4_K_M');
  const parameters = parametersOf(spec.parameterSize ?? name.slice(name.lastIndexOf(':') + 1), embeds);
  const guessed: Weights = {
    digest: `sha256:${sha256(`weights ${name.toLowerCase()} ${revision}`)}`,
    sizeBytes: Math.round(parameters * (bytesPerParameter[quantization] ?? 0.6)),
    family: families.find(([pattern]) => pattern.test(name))?.[1] ?? 'llama',
    parameters,
    parameterSize: humanNumber(parameters),
    quantization,
    contextLength: embeds ? 2_048 : 131_072,
    embeddingLength: embeds ? 768 : 3_072,
    capabilities: embeds ? ['embedding'] : capabilitiesOf(name),
  };
  return { ...guessed, ...told };
}

/** Of an uploaded file nothing is kept but digest and size, so the rest is a small llama of that size in 32-bit floats. */
export function uploadedWeights(digest: string, sizeBytes: number, name: string): Weights {
  const parameters = Math.max(1, Math.round(sizeBytes / 4));
  return {
    digest,
    sizeBytes,
    family: 'llama',
    parameters,
    parameterSize: humanNumber(parameters),
    quantization: 'unknown',
    contextLength: 8_192,
    embeddingLength: 64,
    capabilities: embeddingNames.test(name) ? ['embedding'] : ['completion'],
  };
}

function capabilitiesOf(name: string): string[] {
  const talentsOfName = talents.filter(([pattern]) => pattern.test(name)).map(([, talent]) => talent);
  return ['completion', ...talentsOfName];
}

/** `3b`, `137m`, `3.2B`; a size of its own kind for names that give none. */
function parametersOf(text: string, embeds: boolean): number {
  const found = /^([\d.]+)\s*([bmk])/iu.exec(text);
  if (found === null) return embeds ? 137e6 : 3.2e9;
  const unit = { b: 1e9, m: 1e6, k: 1e3 }[found[2]!.toLowerCase()]!;
  return Math.round(Number(found[1]) * unit);
}

/** As Ollama writes parameter counts: `3.2B`, `137M`, `15.97M`, `111K`. */
export function humanNumber(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)}B`;
  if (count >= 1e6) return `${Number((count / 1e6).toFixed(2))}M`;
  return count >= 1e3 ? `${Math.trunc(count / 1e3)}K` : String(count);
}
