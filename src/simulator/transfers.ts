/** Pull and push: progress at the registry's speed, shared between those who want the same blob, resumed after a cut. */
import type { Clock, Millis } from '../core/types.ts';
import { parseModelName } from '../core/model-name.ts';
import { goQuoted } from '../dialects/go-json.ts';
import { nameRefusal } from './converse.ts';
import { type Layer, pulledManifest } from './library.ts';
import { sha256 } from './models.ts';
import { transferRequest } from './native-requests.ts';
import { nativeError } from './native-voice.ts';
import { createProgress, type Progress } from './progress.ts';
import { jsonRoute, nativeErrors } from './requests.ts';
import type { Route } from './router.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

/** How often Ollama tells how far it is. */
const stepMs = 60;

export function transferRoutes(world: World, downloads: Downloads): Route[] {
  const named = ({ model, name }: { readonly model: string; readonly name: string }): string => model || name;
  return [
    jsonRoute(world, {
      path: '/api/pull',
      shape: transferRequest('api.PullRequest'),
      errors: nativeErrors,
      emptyText: 'missing request body',
      model: named,
      handle(exchange, request) {
        const name = named(request);
        const parts = parseModelName(name);
        if (typeof parts === 'string') {
          const text = parts === 'conflicting-source' ? nameRefusal(parts, name).text : 'invalid model name';
          return exchange.send(400, nativeError(text));
        }
        const progress = createProgress(exchange, request.stream ?? true);
        return pull(world, downloads, { exchange, progress, name });
      },
    }),
    jsonRoute(world, {
      path: '/api/push',
      shape: transferRequest('api.PushRequest'),
      errors: nativeErrors,
      emptyText: 'missing request body',
      model: named,
      handle(exchange, request) {
        const name = named(request);
        if (name === '') return exchange.send(400, nativeError('model is required'));
        return push(world, exchange, { progress: createProgress(exchange, request.stream ?? true), name });
      },
    }),
  ];
}

export interface PullOf {
  readonly exchange: Exchange;
  readonly progress: Progress;
  readonly name: string;
}

async function pull(world: World, downloads: Downloads, wanted: PullOf): Promise<void> {
  if (await download(world, downloads, wanted)) wanted.progress.succeed();
}

/** Brings a model here and installs it. False when that failed, which has then been told, or the client left. */
export async function download(
  world: World,
  downloads: Downloads,
  { exchange, progress, name }: PullOf,
): Promise<boolean> {
  progress.tell({ status: 'pulling manifest' });
  const { options, library } = world;
  if (options.registry === 'unreachable') {
    progress.fail(`pull model manifest: Get ${goQuoted(registryUrl(name, 'manifests'))}: ${noSuchHost}`);
    return false;
  }
  const manifest = pulledManifest({ name }, world.wallNow());
  for (const layer of shownLayers(manifest.layers, options.pullLayers)) {
    const total = layer.size;
    const tell = (completed: number): void =>
      progress.tell({ status: `pulling ${layer.digest.slice(7, 19)}`, digest: layer.digest, total, completed });
    if (library.blob(layer.digest) !== undefined) tell(total);
    else if (!(await downloads.follow(layer, exchange, tell))) return false;
  }
  for (const status of ['verifying sha256 digest', 'writing manifest']) progress.tell({ status });
  if (exchange.gone) return false;
  library.put(manifest);
  return true;
}

async function push(world: World, exchange: Exchange, { progress, name }: Omit<PullOf, 'exchange'>): Promise<void> {
  progress.tell({ status: 'retrieving manifest' });
  const manifest = world.library.find(name);
  if (manifest === undefined) {
    progress.tell({ status: "couldn't retrieve manifest" });
    return progress.fail('file does not exist');
  }
  if (world.options.registry === 'unreachable') {
    const url = registryUrl(name, 'blobs', manifest.layers[0]!.digest);
    return progress.fail(`Head ${goQuoted(url)}: ${noSuchHost}`);
  }
  const uploads = createDownloads(world.clock, world.options.pullBytesPerSecond);
  for (const layer of manifest.layers) {
    const tell = (completed: number): void =>
      progress.tell({
        status: `pushing ${layer.digest.slice(7, 19)}`,
        digest: layer.digest,
        total: layer.size,
        completed,
      });
    if (!(await uploads.follow(layer, exchange, tell))) return;
  }
  progress.tell({ status: 'pushing manifest' });
  progress.succeed();
}

const noSuchHost = 'dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: no such host';

function registryUrl(name: string, kind: 'manifests' | 'blobs', digest?: string): string {
  const parts = parseModelName(name);
  if (typeof parts === 'string') return '';
  const { host, namespace, model, tag } = parts;
  return `https://${host}/v2/${namespace}/${model}/${kind}/${digest ?? tag}`;
}

/** The layers with the weights cut up until there are `count`, so that a pull can be as long as a test wants it. */
function shownLayers(layers: readonly Layer[], count: number): Layer[] {
  const [weights, ...others] = layers;
  if (weights === undefined) return [];
  const pieces = Math.max(1, count - others.length);
  if (pieces === 1) return [weights, ...others];
  const size = Math.floor(weights.size / pieces);
  const cut = Array.from({ length: pieces }, (_, index) => ({
    ...weights,
    digest: `sha256:${sha256(`${weights.digest} ${index}`)}`,
    size: index === 0 ? weights.size - size * (pieces - 1) : size,
  }));
  return [...cut, ...others];
}

/** Downloads under way or cut short, by digest. */
export interface Downloads {
  /** Tells how far a blob is until it is there. False when the client left before. */
  follow(layer: Layer, exchange: Pick<Exchange, 'onGone'>, tell: (completed: number) => void): Promise<boolean>;
}

interface Part {
  completed: number;
  /** Requests that wait for it; it advances only while there are some. */
  followers: number;
  at: Millis;
}

export function createDownloads(clock: Clock, bytesPerSecond: number): Downloads {
  const parts = new Map<string, Part>();

  function advance(part: Part, size: number): void {
    const now = clock.now();
    if (part.followers > 0)
      part.completed = Math.min(size, part.completed + ((now - part.at) * bytesPerSecond) / 1_000);
    part.at = now;
  }

  return {
    follow(layer, exchange, tell) {
      const part = parts.get(layer.digest) ?? { completed: 0, followers: 0, at: clock.now() };
      parts.set(layer.digest, part);
      advance(part, layer.size);
      part.followers++;
      return new Promise((resolve) => {
        let over = false;
        const finish = (whole: boolean): void => {
          if (over) return;
          over = true;
          advance(part, layer.size);
          part.followers--;
          if (whole) parts.delete(layer.digest);
          resolve(whole);
        };
        const step = (): void => {
          if (over) return;
          advance(part, layer.size);
          tell(Math.floor(part.completed));
          if (part.completed >= layer.size) return finish(true);
          const leftMs = ((layer.size - part.completed) * 1_000) / bytesPerSecond;
          clock.after(Math.min(stepMs, leftMs), step);
        };
        exchange.onGone(() => finish(false));
        step();
      });
    },
  };
}
