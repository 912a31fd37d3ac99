/** What a simulated Ollama has on its disk: manifests by name, and blobs of which it keeps digest and size only. */
import type { Millis } from '../core/types.ts';
import { displayName, parseModelName } from '../core/model-name.ts';
import { goJson } from './json.ts';
import { sha256, type Weights, weightsOf } from './models.ts';
import type { ModelSpec } from './options.ts';
import type { Message } from './speech.ts';

export interface Layer {
  readonly mediaType: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly size: number;
}

/** What a name stands for, besides the weights. */
export interface Recipe {
  readonly template: string;
  readonly system: string;
  readonly license: string;
  /** As a Modelfile's PARAMETER lines. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly messages: readonly Message[];
  /** The name it was made from; empty for a pulled or imported model. */
  readonly parentModel: string;
}

/** One installed name. */
export interface Manifest {
  /** As listed, always with its tag: `tiny:latest`, `ns/m:7b`, in the case it was installed with. */
  readonly name: string;
  /** sha256 of the manifest, 64 hex digits, no prefix. */
  readonly digest: string;
  /** Of all layers. */
  readonly sizeBytes: number;
  /** Epoch milliseconds; the fraction carries the nanoseconds. */
  readonly modifiedAt: Millis;
  readonly weights: Weights;
  readonly recipe: Recipe;
  readonly layers: readonly Layer[];
}

export interface Blob {
  readonly size: number;
  /** Whether its first bytes say GGUF. */
  readonly isGguf: boolean;
}

export const chatml =
  '{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n';

/** What Ollama gives an imported GGUF whose own template it recognises. */
export const chatmlRecipe: Recipe = {
  template: chatml,
  system: '',
  license: '',
  parameters: { stop: ['<|im_start|>', '<|im_end|>'] },
  messages: [],
  parentModel: '',
};

const simulatedLicense = 'SIMULATED: this model has no weights; its words come from a seed.';

export function manifestOf(name: string, weights: Weights, recipe: Recipe, modifiedAt: Millis): Manifest {
  const layers = layersOf(weights, recipe);
  const sizeBytes = layers.reduce((sum, layer) => sum + layer.size, 0);
  return { name, digest: sha256(goJson(layers)), sizeBytes, modifiedAt, weights, recipe, layers };
}

/** The same name has the same digests in every simulated Ollama, unless its revision differs. */
export function pulledManifest(spec: ModelSpec, modifiedAt: Millis): Manifest {
  return manifestOf(
    displayedName(spec.name) ?? spec.name,
    weightsOf(spec),
    {
      ...chatmlRecipe,
      license: simulatedLicense,
    },
    modifiedAt,
  );
}

function layersOf(weights: Weights, recipe: Recipe): Layer[] {
  const layer = (kind: string, content: string): Layer[] =>
    content === '' || content === '{}' || content === '[]'
      ? []
      : [
          {
            mediaType: `application/vnd.ollama.image.${kind}`,
            digest: `sha256:${sha256(content)}`,
            size: content.length,
          },
        ];
  return [
    { mediaType: 'application/vnd.ollama.image.model', digest: weights.digest, size: weights.sizeBytes },
    ...layer('template', recipe.template),
    ...layer('license', recipe.license),
    ...layer('system', recipe.system),
    ...layer('params', goJson(recipe.parameters)),
    ...layer('messages', goJson(recipe.messages)),
    ...layer('config', goJson([weights.family, weights.parameterSize, weights.quantization, recipe.parentModel])),
  ];
}

/** The display form of any spelling Ollama accepts; null when it is no model's name. */
export function displayedName(text: string): string | null {
  const parts = parseModelName(text);
  return typeof parts === 'string' ? null : displayName(parts);
}

/** Host, namespace, model and tag, as some error texts print them. */
export function fullName(name: string): string {
  const parts = parseModelName(name);
  return typeof parts === 'string' ? name : `${parts.host}/${parts.namespace}/${parts.model}:${parts.tag}`;
}

export interface Library {
  /** By any spelling Ollama accepts; case does not matter. */
  find(text: string): Manifest | undefined;
  /** Newest first, as /api/tags lists them. */
  list(): Manifest[];
  put(manifest: Manifest): void;
  /** False when there is no such model. Blobs nobody else refers to go with it. */
  remove(name: string): boolean;
  blob(digest: string): Blob | undefined;
  addBlob(digest: string, blob: Blob): void;
  blobs(): number;
  /** What every start of a server does: forgets the blobs no manifest refers to. */
  prune(): void;
}

export function createLibrary(): Library {
  const manifests = new Map<string, Manifest>();
  const blobs = new Map<string, Blob>();
  const keyOf = (text: string): string => (displayedName(text) ?? '').toLowerCase();

  function isReferred(digest: string): boolean {
    return [...manifests.values()].some(({ layers }) => layers.some((layer) => layer.digest === digest));
  }

  return {
    find: (text) => manifests.get(keyOf(text)),
    list: () => [...manifests.values()].sort((a, b) => b.modifiedAt - a.modifiedAt),
    put(manifest) {
      manifests.set(keyOf(manifest.name), manifest);
      for (const layer of manifest.layers) {
        blobs.set(layer.digest, { size: layer.size, isGguf: layer.digest === manifest.weights.digest });
      }
    },
    remove(name) {
      const manifest = manifests.get(keyOf(name));
      if (manifest === undefined) return false;
      manifests.delete(keyOf(name));
      for (const { digest } of manifest.layers) if (!isReferred(digest)) blobs.delete(digest);
      return true;
    },
    blob: (digest) => blobs.get(digest),
    addBlob: (digest, blob) => void blobs.set(digest, blob),
    blobs: () => blobs.size,
    prune() {
      for (const digest of blobs.keys()) if (!isReferred(digest)) blobs.delete(digest);
    },
  };
}
