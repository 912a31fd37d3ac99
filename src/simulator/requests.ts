/** The way of a request into its handler: body, decoding, faults. */
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { GoJsonError } from '../dialects/go-json.ts';
import { displayedName } from './library.ts';
import { type Fault, faultOf } from './faults.ts';
import { withFault } from './faulty-output.ts';
import { bindJson, GoBindError, type Shape } from './go-bind.ts';
import { nativeError } from './native-voice.ts';
import type { Method, Route } from './router.ts';
import type { ErrorPlace } from './voice.ts';
import type { Exchange, Reply } from './wire.ts';
import type { World } from './world.ts';

/** Error answers in one dialect. */
export interface Errors {
  reply(status: number, text: string, place: ErrorPlace): Reply;
}

export const nativeErrors: Errors = { reply: (_status, text) => nativeError(text) };

/**
 * Lets the faults that are meant for the request at it. The faults that the handler itself has to mind, or null when the
 * request has been dealt with.
 */
export async function meetFaults(
  world: World,
  exchange: Exchange,
  { model, errors }: { readonly model: string | null; readonly errors: Errors },
): Promise<readonly Fault[] | null> {
  const record = world.recordOf(exchange);
  if (model !== null) world.journal.model(record, model, world.library.find(model)?.name ?? null);
  const isModel = (name: string): boolean =>
    model !== null && displayedName(name)?.toLowerCase() === displayedName(model)?.toLowerCase();
  const faults = world.faults.take({ method: exchange.method, path: exchange.path, isModel });
  if (faults.length === 0) return faults;
  for (const fault of faults) {
    exchange.output = withFault(exchange.output, fault, {
      clock: world.realClock,
      broken: (text) => exchange.broken(text),
      abandon: () => exchange.abandon(),
      crash: world.crash,
    });
  }
  return (await isStopped(world, exchange, faults, errors)) ? null : faults;
}

async function isStopped(world: World, exchange: Exchange, faults: readonly Fault[], errors: Errors): Promise<boolean> {
  const delay = faultOf(faults, 'delay');
  if (delay !== undefined) await new Promise<void>((go) => void world.realClock.after(delay.delayMs, go));
  if (exchange.gone || faultOf(faults, 'hang-before-head') !== undefined) return true;
  const reset = faultOf(faults, 'reset');
  if (reset !== undefined && reset.atByte === undefined) {
    exchange.output.cut('reset');
    exchange.abandon();
    return true;
  }
  const status = faultOf(faults, 'status');
  if (status === undefined) return false;
  const text = status.text ?? defaultTexts[status.status] ?? `simulated ${status.status}`;
  exchange.send(status.status, errors.reply(status.status, text, 'handler'));
  return true;
}

const defaultTexts: Readonly<Record<number, string>> = {
  500: 'llama-server process has terminated: exit status 1: error loading model',
  503: 'server busy, please try again.  maximum pending requests exceeded',
};

export interface JsonRoute<T> {
  readonly path: string;
  readonly method?: Method;
  readonly shape: Shape<T>;
  readonly errors: Errors;
  /** Of an empty body; Go's own text when left out. */
  readonly emptyText?: string;
  readonly model: (request: T) => string | null;
  handle(exchange: Exchange, request: T, faults: readonly Fault[]): void | Promise<void>;
}

/** A route that takes one JSON object, whatever the content type says. */
export function jsonRoute<T>(world: World, route: JsonRoute<T>): Route {
  return {
    methods: [route.method ?? 'POST'],
    path: route.path,
    async handle(exchange) {
      const request = await readRequest(exchange, route);
      if (request === null || exchange.gone) return;
      const faults = await meetFaults(world, exchange, { model: route.model(request.value), errors: route.errors });
      if (faults === null) return;
      try {
        await route.handle(exchange, request.value, faults);
      } catch (error) {
        if (!(error instanceof GoBindError)) throw error;
        exchange.send(400, route.errors.reply(400, error.message, 'reading'));
      }
    },
  };
}

/** A route without a body that counts. */
export function plainRoute(
  world: World,
  methods: readonly Method[],
  path: string,
  handle: (exchange: Exchange, parameter: string) => void | Promise<void>,
): Route {
  return {
    methods,
    path,
    async handle(exchange, parameter) {
      const faults = await meetFaults(world, exchange, { model: null, errors: nativeErrors });
      if (faults !== null) await handle(exchange, parameter);
    },
  };
}

async function readRequest<T>(exchange: Exchange, route: JsonRoute<T>): Promise<{ readonly value: T } | null> {
  const refuse = (text: string): null => {
    exchange.send(400, route.errors.reply(400, text, 'reading'));
    return null;
  };
  const body = await exchange.wholeBody();
  if (exchange.gone) return null;
  try {
    return { value: bindJson(await plainBody(exchange, body), route.shape) };
  } catch (error) {
    if (error instanceof GoJsonError && error.kind === 'empty') return refuse(route.emptyText ?? error.message);
    if (error instanceof GoJsonError || error instanceof GoBindError) return refuse(error.message);
    throw error;
  }
}

const decompress = promisify(zstdDecompress);

/** What Ollama takes of a compressed body. */
const maxDecompressedBytes = 20 * 1_024 * 1_024;

/** Ollama decompresses zstd only, and on the /v1 routes only; anything else it reads as it is. */
async function plainBody(exchange: Exchange, body: Buffer): Promise<Buffer> {
  if (exchange.request.headers['content-encoding'] !== 'zstd' || !exchange.path.startsWith('/v1/')) return body;
  try {
    return await decompress(body, { maxOutputLength: maxDecompressedBytes });
  } catch (error) {
    const tooLarge = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw new GoBindError(tooLarge ? 'http: request body too large' : 'invalid input: magic number mismatch', {
      cause: error,
    });
  }
}
