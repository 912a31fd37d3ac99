/** Uploads: bytes stream through a hash and are gone; digest and size stay. */
import { createHash } from 'node:crypto';
import { goQuoted } from '../dialects/go-json.ts';
import { nativeError } from './native-voice.ts';
import { meetFaults, nativeErrors, plainRoute } from './requests.ts';
import type { Route } from './router.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

const digestPattern = /^sha256[:-][0-9a-f]{64}$/iu;

export function blobRoutes(world: World): Route[] {
  return [
    plainRoute(world, ['HEAD'], '/api/blobs/:digest', async (exchange, digest) => {
      if (!digestPattern.test(digest)) return exchange.send(400, nativeError('invalid digest format'));
      if (world.library.blob(digest) !== undefined) return exchange.sendEmpty(200);
      exchange.send(404, nativeError(`blob ${goQuoted(digest)} not found`));
    }),
    {
      methods: ['POST'],
      path: '/api/blobs/:digest',
      async handle(exchange, digest) {
        const faults = await meetFaults(world, exchange, { model: null, errors: nativeErrors });
        if (faults === null) return;
        if (!digestPattern.test(digest)) return exchange.send(400, nativeError('invalid digest format'));
        if (world.library.blob(digest) !== undefined) return exchange.sendEmpty(200);
        await receive(world, exchange, digest);
      },
    },
  ];
}

const magic = 'GGUF';

/** Nothing is remembered of an upload that is cut short or is not what its digest says. */
async function receive(world: World, exchange: Exchange, digest: string): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  let beginning = '';
  for await (const chunk of exchange.body()) {
    hash.update(chunk);
    size += chunk.length;
    if (beginning.length < magic.length) beginning += chunk.toString('latin1', 0, magic.length);
  }
  if (exchange.gone) return;
  const actual = `sha256:${hash.digest('hex')}`;
  if (actual !== digest) {
    const text = `digest mismatch, expected ${goQuoted(digest)}, got ${goQuoted(actual)}`;
    return exchange.send(400, nativeError(text));
  }
  world.library.addBlob(digest, { size, isGguf: beginning.startsWith(magic) });
  await exchange.sendEmpty(201);
}
