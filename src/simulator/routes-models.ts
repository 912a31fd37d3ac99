/** The routes that tell about models and rearrange them. */
import { parseModelName } from '../core/model-name.ts';
import { goQuoted } from '../dialects/go-json.ts';
import { cloudRefusal, nameRefusal } from './converse.ts';
import { goJson } from './json.ts';
import { displayedName, manifestOf } from './library.ts';
import { copyRequest, deleteRequest, showRequest } from './native-requests.ts';
import { nativeError } from './native-voice.ts';
import { openaiErrors } from './openai-voice.ts';
import { jsonRoute, nativeErrors, plainRoute } from './requests.ts';
import type { Route } from './router.ts';
import { detailsOf, listed, shown } from './show.ts';
import { rfc3339 } from './stamp.ts';
import { jsonPlain, jsonUtf8 } from './voice.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

export function modelRoutes(world: World): Route[] {
  const { library } = world;
  const named = ({ model, name }: { readonly model: string; readonly name: string }): string => model || name;
  const missing = 'missing request body';
  return [
    plainRoute(world, ['GET', 'HEAD'], '/api/tags', (exchange) =>
      exchange.send(200, { headers: jsonUtf8, body: goJson({ models: library.list().map(listed) }) }),
    ),
    plainRoute(world, ['GET'], '/api/ps', (exchange) =>
      world.machine.onceUnlocked(() =>
        exchange.send(200, { headers: jsonUtf8, body: goJson({ models: residents(world) }) }),
      ),
    ),
    plainRoute(world, ['GET'], '/v1/models', (exchange) => sendModelList(world, exchange)),
    plainRoute(world, ['GET'], '/v1/models/:model', (exchange, name) => sendModel(world, exchange, name)),
    jsonRoute(world, {
      path: '/api/show',
      shape: showRequest,
      errors: nativeErrors,
      emptyText: missing,
      model: named,
      handle(exchange, request) {
        const name = named(request);
        const refusal = showRefusal(world, name);
        if (refusal !== null) return exchange.send(refusal.status, nativeError(refusal.text));
        exchange.send(200, { headers: jsonUtf8, body: shown(library.find(name)!, request) });
      },
    }),
    jsonRoute(world, {
      path: '/api/delete',
      method: 'DELETE',
      shape: deleteRequest,
      errors: nativeErrors,
      emptyText: missing,
      model: named,
      async handle(exchange, request) {
        const name = named(request);
        const parts = parseModelName(name);
        if (parts === 'conflicting-source') return exchange.send(400, nativeError(nameRefusal(parts, name).text));
        if (parts === 'missing') return exchange.send(400, nativeError('model is required'));
        if (parts === 'invalid') return exchange.send(400, nativeError(`name ${goQuoted(name)} is invalid`));
        if (!library.remove(name)) return exchange.send(404, nativeError(`model '${name}' not found`));
        await exchange.sendEmpty(200);
      },
    }),
    jsonRoute(world, {
      path: '/api/copy',
      shape: copyRequest,
      errors: nativeErrors,
      emptyText: missing,
      model: (request) => request.source,
      async handle(exchange, { source, destination }) {
        for (const [role, name] of Object.entries({ source, destination })) {
          if (displayedName(name) === null)
            return exchange.send(400, nativeError(`${role} ${goQuoted(name)} is invalid`));
        }
        const manifest = library.find(source);
        if (manifest === undefined) return exchange.send(404, nativeError(`model ${goQuoted(source)} not found`));
        library.put(manifestOf(displayedName(destination)!, manifest.weights, manifest.recipe, world.wallNow()));
        await exchange.sendEmpty(200);
      },
    }),
  ];
}

function showRefusal(world: World, name: string): { readonly status: number; readonly text: string } | null {
  const parts = parseModelName(name);
  if (parts === 'missing') return { status: 400, text: 'model is required' };
  if (typeof parts === 'string') return nameRefusal(parts, name);
  if (parts.source === 'cloud') return cloudRefusal('remote model details are unavailable');
  return world.library.find(name) === undefined
    ? { status: 404, text: `model '${displayedName(name)}' not found` }
    : null;
}

/** How far ahead Go's longest duration ends, in milliseconds: what `keep_alive: -1` comes to. */
const foreverMs = 9_223_372_036_854.775;

/** Entries of /api/ps, those that stay longest first. */
function residents(world: World): unknown[] {
  const now = world.wallNow();
  const { speed, vramBytes } = world.options;
  return world.machine
    .resident()
    .map((runner) => {
      // Never idle yet: Ollama then counts from now.
      const left =
        runner.expiresAt === Number.POSITIVE_INFINITY ? runner.keepAliveMs : runner.expiresAt - world.clock.now();
      return { runner, expiresAt: now + Math.min(left / speed, foreverMs) };
    })
    .sort((a, b) => b.expiresAt - a.expiresAt)
    .map(({ runner, expiresAt }) => ({
      name: runner.manifest.name,
      model: runner.manifest.name,
      size: runner.sizeBytes,
      digest: runner.manifest.digest,
      details: detailsOf(runner.manifest),
      expires_at: rfc3339(expiresAt),
      size_vram: vramBytes === 0 ? 0 : runner.sizeBytes,
      context_length: runner.contextLength,
    }));
}

function sendModelList(world: World, exchange: Exchange): void {
  const data = world.library.list().map(({ name, modifiedAt }) => openaiModel(name, modifiedAt));
  const body = `${goJson({ object: 'list', data: data.length === 0 ? null : data })}\n`;
  exchange.send(200, { headers: jsonPlain, body });
}

function sendModel(world: World, exchange: Exchange, name: string): void {
  const refusal = showRefusal(world, name);
  if (refusal !== null) {
    return exchange.send(refusal.status, openaiErrors.reply(refusal.status, refusal.text, 'handler'));
  }
  const { modifiedAt } = world.library.find(name)!;
  exchange.send(200, { headers: jsonPlain, body: `${goJson(openaiModel(name, modifiedAt))}\n` });
}

function openaiModel(name: string, modifiedAt: number): unknown {
  const parts = parseModelName(name);
  const owner = typeof parts === 'string' ? '' : parts.namespace;
  return { id: name, object: 'model', created: Math.floor(modifiedAt / 1_000), owned_by: owner };
}
