/** The flags of `llamero simulate`, and what they say of the simulated Ollamas. */
import { parseDuration, parseSize } from '../config/units.ts';
import { type Fault, readFault } from '../simulator/faults.ts';
import type { SimulatorOptions } from '../simulator/options.ts';
import type { FlagDefinition, FlagDefinitions, ParsedFlags } from './flags.ts';

/** What a flag's text becomes; null when it is not what it should be. */
type Reader = (text: string) => unknown;

const whole: Reader = (text) => (/^\d+$/.test(text) ? Number(text) : null);
const positive: Reader = (text) => (/^\d+(?:\.\d+)?$/.test(text) && Number(text) > 0 ? Number(text) : null);
const textual: Reader = (text) => text;

interface OptionFlag extends FlagDefinition {
  readonly option: keyof SimulatorOptions;
  readonly read: Reader;
}

/** Flags that set an option of each simulated Ollama. */
const optionFlags = {
  host: { option: 'host', value: 'HOST', read: textual, help: 'address to listen on' },
  models: {
    option: 'models',
    value: 'A,B',
    read: (text) => text.split(',').map((name) => name.trim()),
    help: 'the models each has',
  },
  slots: { option: 'slots', value: 'N', read: whole, help: 'OLLAMA_NUM_PARALLEL' },
  vram: { option: 'vramBytes', value: 'SIZE', read: parseSize, help: 'memory for models; 0: no GPU, no bound' },
  'load-time': { option: 'loadMs', value: 'DURATION', read: parseDuration, help: 'time to load a model' },
  'tokens-per-second': { option: 'tokensPerSecond', value: 'N', read: positive, help: 'output of each stream' },
  'prefill-tokens-per-second': {
    option: 'prefillTokensPerSecond',
    value: 'N',
    read: positive,
    help: 'how fast prompts are read',
  },
  'answer-tokens': { option: 'answerTokens', value: 'N', read: whole, help: 'length of every answer; 0: it varies' },
  seed: { option: 'seed', value: 'N', read: whole, help: 'of every text; each further Ollama has the next' },
  speed: { option: 'speed', value: 'N', read: positive, help: 'time scale: 10 makes everything ten times as fast' },
  'max-queue': { option: 'maxQueue', value: 'N', read: whole, help: 'OLLAMA_MAX_QUEUE' },
  'max-loaded': { option: 'maxLoaded', value: 'N', read: whole, help: 'OLLAMA_MAX_LOADED_MODELS' },
  'keep-alive': { option: 'keepAliveMs', value: 'DURATION', read: parseDuration, help: 'OLLAMA_KEEP_ALIVE' },
  'ollama-version': { option: 'version', value: 'VERSION', read: textual, help: 'what /api/version says' },
  registry: {
    option: 'registry',
    value: 'open|unreachable',
    read: (text) => (text === 'open' || text === 'unreachable' ? text : null),
    help: 'whether pulls find their models',
  },
  'pull-speed': {
    option: 'pullBytesPerSecond',
    value: 'SIZE',
    read: (text) => parseSize(text) || null,
    help: 'of a pull, a second',
  },
  'slot-leak': { option: 'slotLeak', read: () => true, help: 'Ollama bug: a stalled reader takes its slot with it' },
  starvation: { option: 'starvation', read: () => true, help: 'Ollama bug: joining a model that is to be evicted' },
} as const satisfies Readonly<Record<string, OptionFlag>>;

export const simulateFlags = {
  count: { value: 'N', help: 'how many simulated Ollamas, on ports that follow each other' },
  port: { value: 'PORT', help: 'the first one’s port; 0 picks free ones' },
  'control-port': { value: 'PORT', help: 'one control API for all of them, on a port of its own' },
  fault: {
    value: 'KIND[,field=value]',
    isRepeatable: true,
    help: 'a fault to begin with, e.g. reset,atByte=100,times=3',
  },
  ...optionFlags,
} as const satisfies FlagDefinitions;

export interface SimulateFlags {
  readonly count: number;
  /** Null leaves it to the configuration. */
  readonly port: number | null;
  readonly controlPort: number | null;
  readonly faults: readonly Fault[];
  readonly options: Partial<SimulatorOptions>;
}

/** What the flags say, or every mistake in them. */
export function readSimulateFlags(
  values: ParsedFlags['values'],
): SimulateFlags | { readonly problems: readonly string[] } {
  const problems: string[] = [];
  const read = (flag: string, reader: Reader): unknown => {
    const given = values.get(flag)?.[0];
    if (given === undefined) return undefined;
    const value = reader(given);
    if (value === null) problems.push(`--${flag}: \`${given}\` is not ${expected(flag)}`);
    return value ?? undefined;
  };
  const options: Record<string, unknown> = {};
  for (const [flag, { option, read: reader }] of Object.entries<OptionFlag>(optionFlags)) {
    const value = read(flag, reader);
    if (value !== undefined) options[option] = value;
  }
  const port = (flag: string): number | null => (read(flag, portNumber) as number | undefined) ?? null;
  const flags = {
    count: (read('count', positiveWhole) as number | undefined) ?? 1,
    port: port('port'),
    controlPort: port('control-port'),
    faults: (values.get('fault') ?? []).flatMap((given) => faultOf(given, problems)),
    options: options as Partial<SimulatorOptions>,
  };
  return problems.length === 0 ? flags : { problems };
}

const positiveWhole: Reader = (text) => (/^[1-9]\d{0,2}$/.test(text) ? Number(text) : null);
const portNumber: Reader = (text) => (/^\d{1,5}$/.test(text) && Number(text) < 65_536 ? Number(text) : null);

const wanted: Readonly<Record<string, string>> = {
  SIZE: 'a size such as `16GiB`',
  DURATION: 'a duration such as `5s`',
  PORT: 'a port',
  N: 'a number it can have',
};

function expected(flag: string): string {
  const { value = '' } = (simulateFlags as FlagDefinitions)[flag]!;
  return wanted[value] ?? `\`${value}\``;
}

/** `reset,atByte=100,times=3`. */
function faultOf(given: string, problems: string[]): Fault[] {
  const [kind = '', ...fields] = given.split(',');
  const entries = fields.map((field) => {
    const equals = field.indexOf('=');
    const text = field.slice(equals + 1);
    return [field.slice(0, equals), /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text];
  });
  try {
    return [readFault({ kind, ...(Object.fromEntries(entries) as object) })];
  } catch (error) {
    problems.push(`--fault: ${(error as Error).message}`);
    return [];
  }
}
