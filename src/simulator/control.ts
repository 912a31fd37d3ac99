/** The control API: what a test or a person may ask of a simulated Ollama and of no real one. Paths begin with `/__sim`. */
import { parseModelName } from '../core/model-name.ts';
import { readFault } from './faults.ts';
import type { Bugs } from './machine.ts';
import type { Script } from './script.ts';
import type { Exchange } from './wire.ts';
import type { World } from './world.ts';

/** What the server itself can be made to do. */
export interface ServerActions {
  /** Refuses connections, for ever or for so many real milliseconds, and closes those that are idle. */
  refuse(forMs?: number): Promise<void>;
  /** Listens again. */
  accept(): Promise<void>;
  /** Every connection is cut, everything in memory is gone; listens again after so many real milliseconds. */
  crash(downMs: number): void;
}

export const controlPrefix = '/__sim';

type Answer = readonly [status: number, value: unknown];

/** Answers a request whose path begins with the prefix. */
export async function control(world: World, actions: ServerActions, exchange: Exchange): Promise<void> {
  const path = exchange.path.slice(controlPrefix.length) || '/';
  const body = await exchange.wholeBody();
  const [status, value] = await answer(world, actions, { method: exchange.method, path, body: body.toString() });
  const text = status === 204 ? '' : `${JSON.stringify(value)}\n`;
  exchange.send(status, { headers: status === 204 ? [] : [['Content-Type', 'application/json']], body: text });
}

export interface ControlCall {
  readonly method: string;
  /** Behind the prefix. */
  readonly path: string;
  readonly body: string;
}

/** The control API without the wire, for a listener that serves several simulated Ollamas. */
export async function answer(
  world: World,
  actions: ServerActions,
  { method, path, body }: ControlCall,
): Promise<Answer> {
  const endpoint = endpoints[`${method} ${path}`];
  if (endpoint === undefined)
    return [404, { error: `no such control; there are ${Object.keys(endpoints).join(', ')}` }];
  try {
    return await endpoint(world, body === '' ? {} : (JSON.parse(body) as unknown), actions);
  } catch (error) {
    return [400, { error: (error as Error).message }];
  }
}

type Endpoint = (world: World, given: unknown, actions: ServerActions) => Answer | Promise<Answer>;

const done: Answer = [204, null];

const endpoints: Readonly<Record<string, Endpoint>> = {
  'GET /': (world) => [200, overview(world)],
  'GET /counters': ({ journal }) => [200, journal.counters],
  'GET /requests': ({ journal }) => [200, journal.requests],
  'GET /events': ({ journal }) => [200, journal.events],
  'DELETE /journal': ({ journal }) => {
    journal.clear();
    return done;
  },
  'GET /faults': ({ faults }) => [200, faults.list()],
  'POST /faults': ({ faults }, given) => {
    for (const each of Array.isArray(given) ? (given as unknown[]) : [given]) faults.add(readFault(each));
    return done;
  },
  'DELETE /faults': ({ faults }) => {
    faults.clear();
    return done;
  },
  'GET /scripts': ({ scripts }) => [200, scripts.list()],
  'POST /scripts': ({ scripts }, given) => {
    for (const each of Array.isArray(given) ? (given as unknown[]) : [given]) scripts.add(each as Script);
    return done;
  },
  'DELETE /scripts': ({ scripts }) => {
    scripts.clear();
    return done;
  },
  'GET /bugs': ({ machine }) => [200, machine.bugs],
  'POST /bugs': ({ machine }, given) => {
    const { slotLeak, starvation } = given as Partial<Bugs>;
    if (slotLeak !== undefined) machine.bugs.slotLeak = slotLeak;
    if (starvation !== undefined) machine.bugs.starvation = starvation;
    return [200, machine.bugs];
  },
  'POST /actions': act,
};

function overview({ options, machine, journal, library }: World): unknown {
  return {
    simulated: true,
    name: options.name,
    version: options.version,
    options,
    models: library.list().map(({ name, digest }) => ({ name, digest })),
    scheduler: {
      ...machine.snapshot(),
      runners: machine
        .resident()
        .map(({ model, ...runner }) => ({ ...runner, model: model.name, manifest: undefined })),
    },
    counters: journal.counters,
  };
}

/** `{"action": "refuse", "forMs": 500}` and the like. */
async function act(world: World, given: unknown, actions: ServerActions): Promise<Answer> {
  const { action, forMs, downMs, model } = given as Readonly<Record<string, unknown>>;
  const ms = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
  switch (action) {
    case 'refuse':
      // The answer has to be on its way before the connections are gone.
      setImmediate(() => void actions.refuse(ms(forMs)));
      return done;
    case 'accept':
      await actions.accept();
      return done;
    case 'crash':
      setImmediate(() => actions.crash(ms(downMs) ?? 1_000));
      return done;
    case 'crash-runner':
    case 'hang-runner':
    case 'unload':
      return onRunner(world, action, typeof model === 'string' ? model : '');
    default:
      return [400, { error: 'action is one of refuse, accept, crash, crash-runner, hang-runner, unload' }];
  }
}

function onRunner(
  { library, machine }: World,
  action: 'crash-runner' | 'hang-runner' | 'unload',
  name: string,
): Answer {
  const manifest = typeof parseModelName(name) === 'string' ? undefined : library.find(name);
  if (manifest === undefined) return [404, { error: `model '${name}' not found` }];
  const acts = {
    'crash-runner': () => machine.crashRunner(manifest),
    'hang-runner': () => machine.hangRunner(manifest),
    unload: () => machine.unload(manifest),
  };
  return acts[action]() ? done : [409, { error: `model '${name}' is not loaded` }];
}
