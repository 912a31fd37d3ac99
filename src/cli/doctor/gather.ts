/** Gathers the facts: a few cheap questions to every backend, none of which runs or loads a model, and a look at this machine. */
import { lookup } from 'node:dns/promises';
import { createServer } from 'node:net';
import { credential, tlsOptions } from '../../backends/connection.ts';
import { createDiscovery } from '../../backends/discovery/dns.ts';
import { nodeResolver } from '../../backends/discovery/node-resolver.ts';
import type { Files } from '../../config/files.ts';
import type { Config } from '../../config/schema.ts';
import { formatAddress } from '../../config/units.ts';
import { backendSpecs, slotsOf, withDefaults, type BackendSpec } from '../../core/backend.ts';
import { canonicalModelName } from '../../core/model-name.ts';
import type { Address } from '../../core/options.ts';
import type { System } from '../../system.ts';
import { findLocal } from '../first-minute.ts';
import { reachable } from '../reachable.ts';
import { ask, type Answered, type AskOptions } from './ask.ts';
import type { BackendAnswer, BackendFacts, Facts, PortFacts } from './facts.ts';
import { lookAtGateway } from './gateway.ts';

export interface GatherSources {
  readonly config: Config;
  /** The user's OLLAMA_HOST. */
  readonly ollamaHost: string | undefined;
  readonly files: Files;
  readonly system: Pick<System, 'clock' | 'rng' | 'wallNow'>;
}

export async function gather(sources: GatherSources): Promise<Facts> {
  const { config, files, system } = sources;
  const { source, specs } = await whichBackends(sources);
  const [backends, listen, admin, gateway, openFiles] = await Promise.all([
    Promise.all(specs.map((spec) => lookAt(spec, system.wallNow))),
    lookAtPort(config.listen.address),
    lookAtPort(config.admin.address),
    lookAtGateway(config),
    readOpenFiles(files),
  ]);
  const slots = specs.reduce((sum, spec) => sum + slotsOf(spec), 0);
  return {
    backends,
    required: Object.entries(config.models.required).map(([name, { backends: wanted, pull: pulls }]) => {
      return { model: canonicalModelName(name) ?? name, wanted, pulls };
    }),
    source,
    listen,
    admin,
    gateway,
    openFiles,
    filesNeeded: filesFor(config, slots),
    now: system.wallNow(),
  };
}

/** Those who wait have a connection to the client, those who run have another to the backend. */
function filesFor(config: Config, slots: number): number {
  const { connections } = config.overload;
  const clients = connections > 0 ? connections : config.queue.limit + slots;
  const forTheRest = 64;
  return clients + slots + forTheRest;
}

async function whichBackends(
  sources: GatherSources,
): Promise<Pick<Facts, 'source'> & { specs: readonly BackendSpec[] }> {
  const { config, ollamaHost, system } = sources;
  if (config.backends.length > 0) {
    return { source: 'configured', specs: await resolved(backendSpecs(config.backends), sources) };
  }
  if (config.simulate.count > 0) return { source: 'simulated', specs: [] };
  const askVersion = async (url: string) => {
    const { answer } = await lookAt(backendSpecs([withDefaults({ url })])[0]!, system.wallNow);
    return answer.kind === 'ollama' ? answer.version : null;
  };
  const local = await findLocal(config, { ollamaHost, askVersion });
  if (local === null) return { source: 'none', specs: [] };
  return { source: 'local', specs: backendSpecs([withDefaults({ name: 'local', url: local })]) };
}

/** Names that stand for several, replaced by those behind them; one that can't be resolved stays, and fails to be asked. */
async function resolved(
  specs: readonly BackendSpec[],
  { config, system }: GatherSources,
): Promise<readonly BackendSpec[]> {
  const found = new Map<string, readonly BackendSpec[]>();
  const { clock, rng } = system;
  const sources = { resolver: nodeResolver, clock, rng, found: found.set.bind(found), failed: () => {} };
  const discovery = createDiscovery(specs, sources, config.discovery);
  await discovery.resolveNow();
  discovery.close();
  return specs.flatMap((spec) => found.get(spec.id) ?? [spec]);
}

async function lookAt(spec: BackendSpec, wallNow: () => number): Promise<BackendFacts> {
  const { id: name, parallel, slots, url } = spec;
  const told = parallel ?? (slots === 'auto' ? null : slots);
  const options = optionsFor(spec);
  const silent = { name, url, told, addresses: [], skewMs: null, certificateEnds: null, models: null, resident: null };
  if ('problem' in options) {
    return { ...silent, answer: { kind: 'unanswered', code: 'FILE', message: options.problem } };
  }
  const [addresses, first] = await Promise.all([addressesOf(url), ask(`${url}/api/version`, options)]);
  if (first.kind === 'unanswered') return { ...silent, addresses, answer: first };
  const { certificateEnds, date, tookMs } = first;
  const skewMs = date === null ? null : date + 500 - (wallNow() - tookMs / 2);
  const facts = { ...silent, addresses, certificateEnds, skewMs, answer: await answerOf(url, first, options) };
  if (facts.answer.kind !== 'ollama') return facts;
  const [tags, ps] = await Promise.all([ask(`${url}/api/tags`, options), ask(`${url}/api/ps`, options)]);
  return {
    ...facts,
    models: rowsOf(tags, ({ digest, name: model }) => ({ name: text(model), digest: text(digest) })),
    resident: rowsOf(ps, ({ context_length: context, expires_at: end, name: model }) => ({
      name: text(model),
      contextLength: typeof context === 'number' ? context : null,
      expiresAt: text(end),
    })),
  };
}

function optionsFor({ auth, tls }: BackendSpec): AskOptions | { readonly problem: string } {
  const [field, value] = credential(auth);
  try {
    return { headers: field === undefined ? {} : { [field]: value! }, tls: tlsOptions(tls) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

async function answerOf(url: string, { body, status, tookMs }: Answered, options: AskOptions): Promise<BackendAnswer> {
  if (status !== 200) {
    const { port } = new URL(url);
    const again = status === 403 ? await ask(`${url}/api/version`, { ...options, host: `localhost:${port}` }) : null;
    return { kind: 'status', status, asLocal: again?.kind === 'answered' ? again.status : null };
  }
  const version = parsed(body)?.['version'];
  return typeof version === 'string' ? { kind: 'ollama', version, tookMs } : { kind: 'strange' };
}

function rowsOf<Row>(
  answer: Awaited<ReturnType<typeof ask>>,
  read: (row: Readonly<Record<string, unknown>>) => Row,
): readonly Row[] | null {
  if (answer.kind === 'unanswered' || answer.status !== 200) return null;
  const rows = parsed(answer.body)?.['models'];
  return Array.isArray(rows) ? rows.map((row) => read(row as Readonly<Record<string, unknown>>)) : null;
}

function parsed(body: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>> | null) : null;
  } catch {
    return null;
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

async function addressesOf(url: string): Promise<readonly string[]> {
  const { hostname, port, protocol } = new URL(url);
  const number = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
  try {
    const found = await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true });
    return found.map(({ address, family }) => (family === 6 ? `[${address}]:${number}` : `${address}:${number}`));
  } catch {
    return [];
  }
}

/** Whether it can be listened on, and if not, who does. */
async function lookAtPort(address: Address): Promise<PortFacts> {
  const written = formatAddress(address);
  const code = await tryToListen(address);
  if (code === null) return { address: written, state: 'free' };
  if (code === 'EACCES') return { address: written, state: 'forbidden' };
  if (code !== 'EADDRINUSE') return { address: written, state: 'not-ours' };
  const base = `http://${formatAddress(reachable(address))}`;
  const alive = await ask(`${base}/livez`);
  if (alive.kind === 'answered' && alive.body === 'ok\n') return { address: written, state: 'gateway' };
  const root = await ask(`${base}/`);
  const isOllama = root.kind === 'answered' && root.body.startsWith('Ollama is running');
  return { address: written, state: isOllama ? 'ollama' : 'taken' };
}

function tryToListen({ host, port }: Address): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'EUNKNOWN'));
    server.listen(port, host, () => server.close(() => resolve(null)));
  });
}

/** The limit of this process, which a gateway started from the same shell has too. */
async function readOpenFiles(files: Files): Promise<number | null> {
  try {
    const limits = new TextDecoder().decode(await files.read('/proc/self/limits'));
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1];
    return soft === undefined || soft === 'unlimited' ? null : Number(soft);
  } catch {
    return null;
  }
}
