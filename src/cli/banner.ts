/** What `serve` prints when it is ready: where it listens, what is behind it, and two lines to copy. */
import type { BackendView } from '../core/fleet.ts';
import type { BackendId } from '../core/types.ts';

export interface BannerFacts {
  readonly version: string;
  /** Bound addresses as `host:port`. */
  readonly publicAddress: string;
  readonly adminAddress: string;
  /** Whether clients connect over TLS. */
  readonly isSecure: boolean;
  readonly backends: readonly BannerBackend[];
  /** Names of the simulated ones. */
  readonly simulated: ReadonlySet<BackendId>;
  /** How the backends were found, when nobody configured any; null when somebody did. */
  readonly note: string | null;
  readonly isTerminal: boolean;
}

export type BannerBackend = Pick<BackendView, 'id' | 'state' | 'reason' | 'version' | 'installed'>;

/** Models named before the rest is only counted. */
const MODELS_SHOWN = 4;

export function banner(facts: BannerFacts): string {
  const { bold, dim, yellow } = facts.isTerminal ? colours : plain;
  const scheme = facts.isSecure ? 'https' : 'http';
  const url = clientUrl(scheme, facts.publicAddress);
  const note = facts.note === null ? [] : ['', `  ${yellow(facts.note)}`];
  const lines = [
    '',
    `${bold('Llamero')} ${facts.version}`,
    '',
    `  listening on  ${bold(`${scheme}://${facts.publicAddress}`)}`,
    `  metrics       ${url}/metrics`,
    `  page          http://${facts.adminAddress}/gateway/`,
    '',
    '  backends',
    ...backendLines(facts),
    ...note,
    '',
    '  point your clients here',
    `    export OLLAMA_HOST=${url}`,
    `    export OPENAI_BASE_URL=${url}/v1`,
    '',
    `  ${dim('Ctrl-C stops when running answers are done; twice stops now. `llamero doctor` tells what is wrong.')}`,
    '',
  ];
  return `${lines.join('\n')}\n`;
}

function backendLines({ backends, simulated, isTerminal }: BannerFacts): string[] {
  const { dim, green, yellow } = isTerminal ? colours : plain;
  if (backends.length === 0) return [`    ${yellow('none')}`];
  const width = Math.max(...backends.map(({ id }) => id.length));
  return backends.map(({ id, state, reason, version, installed }) => {
    const name = id.padEnd(width);
    const badge = simulated.has(id) ? [yellow('SIMULATED')] : [];
    if (state !== 'up') return `    ${[name, ...badge, yellow(state), dim(reason)].join('  ').trimEnd()}`;
    const told = version === null ? [] : [`Ollama ${version}`];
    return `    ${[name, ...badge, green('up'), ...told, dim(listModels(installed))].join('  ')}`;
  });
}

/** A URL for clients on this machine; a wildcard address is none that can be connected to everywhere. */
function clientUrl(scheme: string, address: string): string {
  return `${scheme}://${address.replace(/^(?:0\.0\.0\.0|\[::\])(?=:)/, '127.0.0.1')}`;
}

function listModels(installed: BannerBackend['installed']): string {
  if (installed === null) return 'models not known yet';
  if (installed.length === 0) return 'no models';
  const shown = installed.slice(0, MODELS_SHOWN).map(({ name }) => name.replace(/:latest$/, ''));
  const more = installed.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

type Paint = (text: string) => string;

function paint(code: number): Paint {
  return (text) => `\u001B[${code}m${text}\u001B[0m`;
}

const colours = { bold: paint(1), dim: paint(2), green: paint(32), yellow: paint(33) };
const same: Paint = (text) => text;
const plain = { bold: same, dim: same, green: same, yellow: same };
