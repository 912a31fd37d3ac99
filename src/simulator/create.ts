/** POST /api/create: a model from another one or from uploaded files. */
import { plain, type Read } from './go-bind.ts';
import { chatmlRecipe, displayedName, type Layer, type Manifest, manifestOf, type Recipe } from './library.ts';
import { sha256, uploadedWeights, type Weights } from './models.ts';
import { createRequest, messageOf, optionsOf } from './native-requests.ts';
import { nativeError } from './native-voice.ts';
import { createProgress, type Progress } from './progress.ts';
import { jsonRoute, nativeErrors } from './requests.ts';
import type { Route } from './router.ts';
import { blobPath } from './show.ts';
import { download, type Downloads } from './transfers.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

type Request = Read<typeof createRequest>;

export function createRoute(world: World, downloads: Downloads): Route {
  return jsonRoute(world, {
    path: '/api/create',
    shape: createRequest,
    errors: nativeErrors,
    emptyText: 'missing request body',
    model: ({ model, name }) => model || name,
    async handle(exchange, request) {
      const name = displayedName(request.model || request.name);
      if (name === null) return exchange.send(400, nativeError('invalid model name'));
      const progress = createProgress(exchange, request.stream ?? true);
      const base = await baseOf(world, exchange, { request, progress, downloads });
      if (base === null || exchange.gone) return;
      install(world, { name, request, base, progress });
    },
  });
}

interface Base {
  readonly weights: Weights;
  readonly recipe: Recipe;
  /** What is told of the layers that come with it. */
  readonly statuses: readonly string[];
}

interface Job {
  readonly request: Request;
  readonly progress: Progress;
  readonly downloads: Downloads;
}

/** What the new model is made from; null when that failed, which has then been told. */
async function baseOf(world: World, exchange: Exchange, job: Job): Promise<Base | null> {
  const { request, progress } = job;
  if (request.from !== '') return fromModel(world, exchange, job);
  if (request.files !== null) return fromFiles(world, job);
  progress.fail("neither 'from' or 'files' was specified", 400);
  return null;
}

/** As Ollama does, pulls the model it is to be made from when it is not there. */
async function fromModel(
  world: World,
  exchange: Exchange,
  { request, progress, downloads }: Job,
): Promise<Base | null> {
  const { from } = request;
  if (displayedName(from) === null) {
    progress.fail('invalid model name', 400);
    return null;
  }
  if (
    world.library.find(from) === undefined &&
    !(await download(world, downloads, { exchange, progress, name: from }))
  ) {
    return null;
  }
  const parent = world.library.find(from)!;
  const kept = parent.layers.filter(({ mediaType }) => /(?:model|template)$/u.test(mediaType));
  return {
    weights: parent.weights,
    recipe: { ...parent.recipe, parentModel: parent.name },
    statuses: kept.map(({ digest }) => `using existing layer ${digest}`),
  };
}

async function fromFiles(world: World, { request, progress }: Job): Promise<Base | null> {
  const files = [...(request.files ?? [])];
  const refuse = (text: string, status: number): null => {
    progress.fail(text, status);
    return null;
  };
  const [first] = files;
  if (first === undefined) return refuse('no files provided to convert', 400);
  const [fileName, digest] = first;
  const blob = world.library.blob(digest);
  const isNamedGguf = fileName.toLowerCase().endsWith('.gguf');
  if (!isNamedGguf && blob?.isGguf !== true) return refuse('unknown type', 400);
  progress.tell({ status: 'parsing GGUF' });
  if (blob === undefined) return refuse(`open ${blobPath(digest)}: no such file or directory`, 500);
  if (!blob.isGguf) return refuse('supplied file was not in GGUF format', 400);
  await told(world, 40);
  if (request.quantize !== '') await quantize(world, progress, { level: request.quantize, total: blob.size });
  progress.tell({ status: 'verifying conversion' });
  // Ollama writes the file anew, so the layer is not the blob that was uploaded.
  const layer = `sha256:${sha256(`import ${digest} ${request.quantize}`)}`;
  const isNew = world.library.blob(layer) === undefined;
  return {
    weights: uploadedWeights(layer, blob.size, request.model || request.name),
    recipe: chatmlRecipe,
    statuses: [`${isNew ? 'creating new' : 'using existing'} layer ${layer}`, 'using autodetected template chatml'],
  };
}

async function quantize(
  world: World,
  progress: Progress,
  { level, total }: { readonly level: string; readonly total: number },
): Promise<void> {
  const steps = 4;
  for (let step = 0; step <= steps; step++) {
    const completed = Math.floor((total * step) / steps);
    progress.tell({ status: `quantizing F16 model to ${level.toUpperCase()}`, digest: '0', total, completed });
    await told(world, 60);
  }
}

function told(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.clock.after(ms, resolve));
}

/** Installed whole at the end or not at all. */
function install(
  world: World,
  {
    name,
    request,
    base,
    progress,
  }: { readonly name: string; readonly request: Request; readonly base: Base; readonly progress: Progress },
): void {
  const manifest = manifestOf(name, base.weights, recipeOf(request, base.recipe), world.wallNow());
  for (const status of [...base.statuses, ...layerStatuses(world, manifest), 'writing manifest'])
    progress.tell({ status });
  world.library.put(manifest);
  progress.succeed();
}

/** Layers that are told of beside those of the base. */
function layerStatuses(world: World, manifest: Manifest): string[] {
  const isTold = ({ mediaType }: Layer): boolean => /(?:system|license|params|messages)$/u.test(mediaType);
  return manifest.layers.filter(isTold).map(({ digest }) => {
    const isNew = world.library.blob(digest) === undefined;
    return `${isNew ? 'creating new' : 'using existing'} layer ${digest}`;
  });
}

function recipeOf(request: Request, base: Recipe): Recipe {
  const license = plain(request.license);
  const licenses = Array.isArray(license) ? license.map(String).join('\n') : typeof license === 'string' ? license : '';
  return {
    ...base,
    template: request.template || base.template,
    system: request.system || base.system,
    license: licenses || base.license,
    parameters: { ...base.parameters, ...optionsOf(request.parameters) },
    messages: request.messages === null ? base.messages : request.messages.map(messageOf),
  };
}
