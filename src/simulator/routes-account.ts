/** The routes about the server itself and about whom it is signed in for; and those that only ollama.com could answer. */
import { hostname } from 'node:os';
import { cloudRefusal } from './converse.ts';
import { goJson } from './json.ts';
import { sha256 } from './models.ts';
import { nativeError } from './native-voice.ts';
import { meetFaults, nativeErrors, plainRoute } from './requests.ts';
import type { Route } from './router.ts';
import { jsonUtf8 } from './voice.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

export function accountRoutes(world: World): Route[] {
  const { options } = world;
  let account = options.account;
  const json = (exchange: Exchange, status: number, value: unknown): void =>
    exchange.send(status, { headers: jsonUtf8, body: goJson(value) });

  function signOut(exchange: Exchange): void {
    if (account === '') return json(exchange, 401, { error: 'you are not currently signed in' });
    account = '';
    json(exchange, 200, null);
  }

  return [
    plainRoute(world, ['GET', 'HEAD'], '/', (exchange) =>
      exchange.send(200, { headers: [['Content-Type', 'text/plain; charset=utf-8']], body: 'Ollama is running' }),
    ),
    plainRoute(world, ['GET', 'HEAD'], '/api/version', (exchange) => json(exchange, 200, { version: options.version })),
    plainRoute(world, ['GET'], '/api/status', (exchange) =>
      json(exchange, 200, { cloud: { disabled: true, source: 'env' } }),
    ),
    plainRoute(world, ['POST'], '/api/me', (exchange) => {
      if (account === '') return json(exchange, 401, { error: 'unauthorized', signin_url: signinUrl(options.name) });
      json(exchange, 200, { id: sha256(account).slice(0, 36), email: '', name: account, plan: 'free' });
    }),
    plainRoute(world, ['POST'], '/api/signout', signOut),
    plainRoute(world, ['DELETE'], '/api/user/keys/:key', signOut),
    plainRoute(world, ['GET'], '/api/experimental/model-recommendations', (exchange) =>
      json(exchange, 200, { recommendations: recommendations(world) }),
    ),
    cloudRoute(world, '/api/experimental/web_search', 'web search is unavailable'),
    cloudRoute(world, '/api/experimental/web_fetch', 'web fetch is unavailable'),
  ];
}

function signinUrl(name: string): string {
  const key = Buffer.from(`ssh-ed25519 ${sha256(name).slice(0, 48)}`).toString('base64url');
  return `https://ollama.com/connect?name=${encodeURIComponent(hostname())}&key=${key}`;
}

function recommendations(world: World): unknown[] {
  return world.library.list().map(({ name, weights }) => ({
    model: name,
    description: `${weights.parameterSize} parameters`,
    context_length: weights.contextLength,
    vram_bytes: weights.sizeBytes,
  }));
}

/** A route that Ollama passes on to ollama.com, which a simulated one never does. */
function cloudRoute(world: World, path: string, operation: string): Route {
  return {
    methods: ['POST'],
    path,
    async handle(exchange) {
      const body = await exchange.wholeBody();
      if (exchange.gone) return;
      const faults = await meetFaults(world, exchange, { model: null, errors: nativeErrors });
      if (faults === null) return;
      if (body.toString().trim() === '') return exchange.send(400, nativeError('missing request body'));
      const { status, text } = cloudRefusal(operation);
      exchange.send(status, nativeError(text));
    },
  };
}
