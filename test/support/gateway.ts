/** A whole gateway on port 0, in this process, in front of the backends a test names. */
import { createApp, type App } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { backendSpecs, withDefaults } from '../../src/core/backend.ts';
import { realSystem, type System } from '../../src/system.ts';
import type { Closer } from './closer.ts';

export interface Gateway {
  readonly url: string;
  readonly port: number;
  readonly adminUrl: string;
  readonly app: App;
  /** Applies YAML as `config` above, with other backends if given. */
  reload(
    config: string,
    backends?: readonly { readonly url: string; readonly name?: string }[],
  ): Promise<readonly string[]>;
  /** Parsed log lines so far. */
  readonly log: readonly Record<string, unknown>[];
  /** Resolves with the log line of the next request that finishes and passes the test. */
  finished(matches?: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** The sum of a metric's samples whose labels include those given. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  chat(body?: Record<string, unknown>, init?: RequestInit): Promise<Response>;
}

export interface GatewayOptions {
  /** Names of backends that are to count as built in. */
  readonly simulated?: readonly string[];
  /** YAML beside the tests' own defaults, e.g. `queue: {limit: 1}`. */
  readonly config?: string;
  readonly system?: System;
  /** What it calls its own version. */
  readonly version?: string;
  /** Where traces are sent. */
  readonly traceEndpoint?: string;
}

/** For `config`: probes once, at the start, to see what the gateway learns otherwise. */
export const probesOnce = 'probes: {interval: 1h, inventoryInterval: 1h, residencyInterval: 1h}\n';

export async function startGateway(
  t: Closer,
  backends: readonly {
    readonly url: string;
    readonly slots?: number;
    readonly weight?: number;
    readonly name?: string;
    readonly wake?: Readonly<Record<string, unknown>>;
    /** As in the configuration, e.g. `24GiB`. */
    readonly memory?: string;
    readonly tls?: Readonly<Record<string, unknown>>;
  }[],
  options: GatewayOptions = {},
): Promise<Gateway> {
  const read = async (members: typeof backends, extra: string) => {
    const list = members.map(({ memory, name, url, slots, tls, wake, weight }, index) =>
      JSON.stringify({ name: name ?? `b${index + 1}`, url, slots, tls, wake, weight, memory }),
    );
    const files = {
      read: async () => Buffer.from(`${defaults(extra)}backends: [${list.join(', ')}]\n${extra}`),
    };
    const loaded = await loadConfig({ file: 'test.yaml', env: {}, flags: null, files });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems, null, 1));
    return loaded.config;
  };
  const config = await read(backends, options.config ?? '');
  const reload = async () => ({ ok: false, messages: ['nothing to read again in a test'] });
  const readBackend = async ({ name, url }: Readonly<Record<string, unknown>>) =>
    backendSpecs([withDefaults({ name: String(name), url: String(url) })])[0]!;
  const log: Record<string, unknown>[] = [];
  const listeners = new Set<(line: Record<string, unknown>) => void>();
  const logTo = {
    write(text: string) {
      const line = JSON.parse(text) as Record<string, unknown>;
      log.push(line);
      for (const listener of listeners) listener(line);
    },
  };
  const app = createApp(
    config,
    {
      version: options.version ?? '0.0.0-test',
      backends: backendSpecs(config.backends),
      simulated: new Set(options.simulated ?? []),
      isTerminal: false,
      logTo,
      reload,
      readBackend,
      traceEndpoint: options.traceEndpoint ?? null,
    },
    options.system ?? realSystem,
  );
  const { publicAddress, adminAddress } = await app.listen();
  t.after(() => app.close());
  const url = `http://${publicAddress}`;
  return {
    url,
    port: Number(publicAddress.split(':').at(-1)),
    adminUrl: `http://${adminAddress}`,
    app,
    async reload(text, members = backends) {
      const next = await read(members, text);
      return app.reload(next, backendSpecs(next.backends));
    },
    log,
    finished: (matches = () => true) =>
      new Promise((resolve) => {
        const listener = (line: Record<string, unknown>) => {
          if (line['msg'] !== 'request' || !matches(line)) return;
          listeners.delete(listener);
          resolve(line);
        };
        listeners.add(listener);
      }),
    metric: async (name, labels = {}) => sum(await (await fetch(`${url}/metrics`)).text(), name, labels),
    chat: (body = {}, init = {}) =>
      fetch(`${url}/api/chat`, {
        method: 'POST',
        body: JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hi' }], ...body }),
        ...init,
      }),
  };
}

/** Free ports, and probes so frequent that tests need not wait for the world to be noticed; where the test says nothing else. */
const sections = {
  listen: "{address: '127.0.0.1:0'}",
  admin: "{address: '127.0.0.1:0'}",
  probes: '{interval: 50ms, inventoryInterval: 100ms, residencyInterval: 100ms, timeout: 10s}',
  // A machine that runs many tests at once is slow, and that is nobody's fault.
  overload: '{loopDelay: 0}',
};

function defaults(extra: string): string {
  return Object.entries(sections)
    .map(([section, text]) => (extra.includes(`${section}:`) ? '' : `${section}: ${text}\n`))
    .join('');
}

function sum(exposition: string, name: string, labels: Readonly<Record<string, string>>): number {
  let total = 0;
  for (const line of exposition.split('\n')) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null || match[1] !== name) continue;
    const fits = Object.entries(labels).every(([key, value]) => (match[2] ?? '').includes(`${key}="${value}"`));
    if (fits) total += Number(match[3]);
  }
  return total;
}
