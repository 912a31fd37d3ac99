/** The models a simulated Ollama has installed: manifests, blobs, and what their names tell about them. */
import { createHash } from 'node:crypto';
import type { ModelSpec } from './options.ts';

export interface Details {
  readonly parent_model: string;
  readonly format: string;
  readonly family: string;
  readonly families: readonly string[];
  readonly parameter_size: string;
  readonly quantization_level: string;
}

/** What is known of a weights blob. Two manifests of one blob share it, and with it the runner. */
export interface Weights {
  /** `sha256:` and 64 hex digits; the runner's identity. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly family: string;
  readonly parameters: number;
  readonly parameterSize: string;
  readonly quantization: string;
  readonly contextLength: number;
  readonly embeddingLength: number;
  readonly capabilities: readonly string[];
}

/** One installed name. */
export interface Manifest {
  /** As listed, always with its tag: `tiny:latest`, `ns/m:7b`, in the case it was installed with. */
  readonly name: string;
  /** sha256 of the manifest, 64 hex digits, no prefix. */
  readonly digest: string;
  /** All layers. */
  readonly sizeBytes: number;
  /** Epoch nanoseconds. */
  readonly modifiedNs: bigint;
  readonly weights: Weights;
  readonly parentModel: string;
  readonly template: string;
  readonly system: string;
  readonly license: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly messages: readonly unknown[];
}

export const chatml =
  '{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n';

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Bytes per parameter of the common quantizations. */
const bytesPerParameter: Readonly<Record<string, number>> = { Q4_K_M: 0.6, Q4_0: 0.56, Q8_0: 1.06, F16: 2, F32: 4 };

const embeddingNames = /embed|minilm|bge|(^|\/)e5|arctic/iu;
const families: readonly (readonly [RegExp, string])[] = [
  [/nomic-embed/iu, 'nomic-bert'],
  [/embed|minilm|bge|arctic/iu, 'bert'],
  [/qwen3/iu, 'qwen3'],
  [/qwen2|qwq/iu, 'qwen2'],
  [/gemma3/iu, 'gemma3'],
  [/gemma/iu, 'gemma2'],
  [/phi/iu, 'phi3'],
  [/gpt-oss/iu, 'gptoss'],
];

/** What a name such as `llama3.2:3b` tells; anything in the spec wins. */
export function weightsOf(spec: ModelSpec): Weights {
  const name = spec.name;
  const embedding = embeddingNames.test(name);
  const quantization = spec.quantization ?? (embedding ? 'F16' : 'Q4_K_M');
  const parameters = parametersOf(spec.parameterSize ?? name.slice(name.lastIndexOf(':') + 1), embedding);
  return {
    digest: `sha256:${sha256(`weights ${name.toLowerCase()} ${spec.revision ?? ''}`)}`,
    sizeBytes: spec.sizeBytes ?? Math.round(parameters * (bytesPerParameter[quantization] ?? 0.6)),
    family: spec.family ?? families.find(([pattern]) => pattern.test(name))?.[1] ?? 'llama',
    parameters,
    parameterSize: spec.parameterSize ?? humanNumber(parameters),
    quantization,
    contextLength: spec.contextLength ?? (embedding ? 2_048 : 131_072),
    embeddingLength: spec.embeddingLength ?? (embedding ? 768 : 3_072),
    capabilities: spec.capabilities ?? capabilitiesOf(name, embedding),
  };
}

function capabilitiesOf(name: string, embedding: boolean): string[] {
  if (embedding) return ['embedding'];
  const capabilities = ['completion'];
  if (/llava|vision|-vl|gemma3/iu.test(name)) capabilities.push('vision');
  if (/llama3\.[1-9]|qwen|mistral|gpt-oss|granite/iu.test(name)) capabilities.push('tools');
  if (/coder|codellama|starcoder/iu.test(name)) capabilities.push('insert');
  if (/qwen3|deepseek-r1|gpt-oss|magistral/iu.test(name)) capabilities.push('thinking');
  return capabilities;
}

/** `3b`, `137m`, `3.2B`; a size of its own kind for names that give none. */
function parametersOf(text: string, embedding: boolean): number {
  const found = /([\d.]+)\s*([bmk])/iu.exec(text);
  if (found === null) return embedding ? 137e6 : 3.2e9;
  const unit = { b: 1e9, m: 1e6, k: 1e3 }[found[2]!.toLowerCase()]!;
  return Math.round(Number(found[1]) * unit);
}

/** As Ollama writes parameter counts: `3.2B`, `137M`, `111K`. */
export function humanNumber(count: number): string {
  const [unit, suffix] = count >= 1e9 ? [1e9, 'B'] : count >= 1e6 ? [1e6, 'M'] : count >= 1e3 ? [1e3, 'K'] : [1, ''];
  const value = count / unit;
  const digits = suffix === 'M' ? (value % 1 === 0 ? 0 : 2) : suffix === 'B' ? 1 : 0;
  return `${value.toFixed(digits)}${suffix}`;
}

/** The display form of a name: default host and namespace left out, the tag always there. Null when it is not a name. */
export function displayName(text: string): string | null {
  let rest = text.trim().replace(/^https?:\/\//iu, '');
  if (rest === '') return null;
  let tag = 'latest';
  const colon = rest.lastIndexOf(':');
  if (colon > rest.lastIndexOf('/')) {
    tag = rest.slice(colon + 1);
    rest = rest.slice(0, colon);
  }
  const parts = rest.split('/');
  if (parts.length > 3 || [...parts, tag].some((part) => !/^\w[\w.:-]*$/u.test(part))) return null;
  if (parts.length === 3 && parts[0]!.toLowerCase() === 'registry.ollama.ai') parts.shift();
  if (parts.length === 2 && parts[0]!.toLowerCase() === 'library') parts.shift();
  return `${parts.join('/')}:${tag}`;
}

/** Host, namespace, model and tag, as error texts print them. */
export function fullName(name: string): string {
  const slashes = name.split('/').length - 1;
  return slashes === 0 ? `registry.ollama.ai/library/${name}` : slashes === 1 ? `registry.ollama.ai/${name}` : name;
}

export interface ModelStore {
  /** By any spelling Ollama accepts; case does not matter. */
  find(text: string): Manifest | undefined;
  /** Newest first, as /api/tags lists them. */
  list(): Manifest[];
  put(manifest: Manifest): void;
  remove(name: string): boolean;
}

export function createModelStore(): ModelStore {
  const manifests = new Map<string, Manifest>();
  const keyOf = (text: string): string => (displayName(text) ?? '').toLowerCase();
  return {
    find: (text) => manifests.get(keyOf(text)),
    list: () => [...manifests.values()].sort((a, b) => Number(b.modifiedNs - a.modifiedNs)),
    put: (manifest) => void manifests.set(keyOf(manifest.name), manifest),
    remove: (name) => manifests.delete(keyOf(name)),
  };
}

/** A pulled model: the same name has the same digests on every simulated Ollama, unless its revision differs. */
export function pulledManifest(spec: ModelSpec, modifiedNs: bigint): Manifest {
  const weights = weightsOf(spec);
  return {
    name: displayName(spec.name) ?? spec.name,
    digest: sha256(`manifest ${weights.digest} ${chatml}`),
    sizeBytes: weights.sizeBytes + 379,
    modifiedNs,
    weights,
    parentModel: '',
    template: chatml,
    system: '',
    license: '',
    parameters: { stop: ['<|im_start|>', '<|im_end|>'] },
    messages: [],
  };
}

export function detailsOf(manifest: Manifest): Details {
  const { weights } = manifest;
  return {
    parent_model: manifest.parentModel,
    format: 'gguf',
    family: weights.family,
    families: [weights.family],
    parameter_size: weights.parameterSize,
    quantization_level: weights.quantization,
  };
}
