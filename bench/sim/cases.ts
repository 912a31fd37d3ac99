/** The league's cases: fleets and the loads they get. */

export interface Case {
  readonly name: string;
  readonly title: string;
  readonly backends: number;
  /** Models each backend holds at most (OLLAMA_MAX_LOADED_MODELS). */
  readonly places: number;
  /** Requests each loaded model serves at once (OLLAMA_NUM_PARALLEL). */
  readonly slots: number;
  readonly models: number;
  /** Mean requests per second over all conversations. */
  readonly rate: number;
  readonly meanTurns: number;
  readonly thinkMs: number;
  /** One factor a backend on its prefill and decode rates. */
  readonly speeds: readonly number[];
  readonly kind: 'conversations' | 'contexts' | 'clients' | 'short' | 'mooncake';
  /** What each client wants, as a multiple of what the fleet can do; one client after another otherwise. */
  readonly clients?: readonly { readonly name: string; readonly load: number }[];
  /** Who plays it; everybody when absent. */
  readonly policies?: readonly string[];
  readonly loadMs: number;
  /** Prompts whose prefix a backend remembers, per place. */
  readonly prompts: number;
  readonly horizonMs: number;
  /** What is measured begins here. */
  readonly warmUpMs: number;
}

const HOUR_MS = 3_600_000;

const common = {
  backends: 4,
  places: 2,
  slots: 4,
  meanTurns: 4,
  thinkMs: 20_000,
  speeds: [1, 1, 1, 1],
  kind: 'conversations',
  loadMs: 20_000,
  prompts: 25,
  horizonMs: HOUR_MS,
  warmUpMs: 0.15 * HOUR_MS,
} as const;

const oneModel = { places: 1, models: 1 } as const;

const mooncake = { ...common, ...oneModel, rate: 0, meanTurns: 1, kind: 'mooncake' } as const;

const contended = {
  ...common,
  ...oneModel,
  rate: 0,
  meanTurns: 1,
  kind: 'clients',
  policies: ['soonest', 'soonest-fifo', 'soonest-learning', 'least-connections', 'central-queue-blind'],
} as const;

const light = { name: 'light', load: 0.1 } as const;

export const cases: readonly Case[] = [
  { ...common, name: 'A', title: 'four models, room for all', models: 4, rate: 1.2 },
  { ...common, name: 'B', title: 'models = places', models: 8, rate: 1.2 },
  { ...common, name: 'C', title: 'more models than places', models: 12, rate: 1 },
  { ...common, name: 'D', title: "one slot, Ollama's default", slots: 1, models: 4, rate: 0.8 },
  {
    ...common,
    ...oneModel,
    name: 'E',
    title: 'one model, long conversations',
    rate: 1.2,
    meanTurns: 8,
    thinkMs: 10_000,
  },
  {
    ...common,
    ...oneModel,
    name: 'F',
    title: 'uneven hardware, one-shot',
    rate: 1.3,
    meanTurns: 1,
    speeds: [1, 1, 0.5, 0.25],
  },
  { ...common, name: 'G', title: 'two num_ctx populations', models: 2, rate: 1, kind: 'contexts' },
  {
    ...contended,
    name: 'H',
    title: 'a client at 10 x capacity, another at 0.1 x',
    clients: [{ name: 'heavy', load: 10 }, light],
  },
  { ...contended, name: 'H1', title: 'the light client of H alone', clients: [light] },
  {
    ...contended,
    name: 'HJ',
    title: 'four clients of equal weight, at 8, 4, 2 and 1 x capacity',
    clients: [8, 4, 2, 1].map((load) => ({ name: `at-${load}`, load })),
  },
  { ...common, ...oneModel, name: 'I', title: 'one-shot short prompts', rate: 1, meanTurns: 1, kind: 'short' },
  { ...common, name: 'A5', title: 'as A, loads of 5 s', models: 4, rate: 1.2, loadMs: 5000 },
  { ...common, name: 'A60', title: 'as A, loads of 60 s', models: 4, rate: 1.2, loadMs: 60_000 },
  { ...common, name: 'C5', title: 'as C, loads of 5 s', models: 12, rate: 1, loadMs: 5000 },
  { ...common, name: 'C60', title: 'as C, loads of 60 s', models: 12, rate: 1, loadMs: 60_000 },
  { ...mooncake, name: 'M', title: 'Mooncake conversation replay at 70 % load' },
  { ...mooncake, name: 'M4', title: 'the same, with four times the prefix cache', prompts: 100 },
  { ...mooncake, name: 'M16', title: 'the same, with sixteen times the prefix cache', prompts: 400 },
];

/** Throws when there is no such case. */
export function caseNamed(name: string): Case {
  const found = cases.find((candidate) => candidate.name === name.toUpperCase());
  if (found === undefined) throw new Error(`no case ${name}; there are ${cases.map((one) => one.name).join(' ')}`);
  return found;
}
