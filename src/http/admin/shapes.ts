/**
 * What the admin API answers with, as schemas: the OpenAPI document is made of them, the handlers are held to them by the compiler,
 * and the tests hold live answers to them. Names are in snake case, as in Ollama's own API; times are milliseconds unless the name
 * says otherwise.
 */
import { Type, type Static, type TSchema } from 'typebox';
import { backendStates } from '../../core/events.ts';

export function nullable<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

const name = (description: string) => Type.String({ description });
const ms = (description: string) => Type.Number({ description: `${description}, in milliseconds.` });
const count = (description: string) => Type.Integer({ description, minimum: 0 });
const bytes = (description: string) => Type.Integer({ description: `${description}, in bytes.`, minimum: 0 });

export const Resident = Type.Object(
  {
    name: name('The model.'),
    size_bytes: bytes('What it takes'),
    vram_bytes: bytes('How much of that is on the GPU'),
    context_length: nullable(Type.Integer({ description: 'The context it was loaded with; null when not told.' })),
    expires_at: nullable(
      Type.Number({ description: 'When it is unloaded unless it is used, in epoch milliseconds; null when not told.' }),
    ),
  },
  { description: 'A model in memory.' },
);

export const Learnt = Type.Object(
  {
    prompt_tokens_per_second: nullable(Type.Number({ description: 'How fast it reads prompts.' })),
    models: Type.Array(
      Type.Object({
        model: name('The model.'),
        options: name('The runner options it was loaded with; empty for the backend’s own.'),
        slots: count('Requests it serves at a time, as far as that has shown.'),
        slots_at_most: nullable(count('More at a time have had to wait inside it; null while none has.')),
        load_ms: nullable(ms('How long it takes to load')),
        hold_ms: nullable(ms('How long a request holds a slot of it')),
      }),
    ),
  },
  { description: 'What the policy `soonest` has learnt of a backend from the requests it has served.' },
);

export const Backend = Type.Object(
  {
    name: name('Its name.'),
    url: name('Where it listens.'),
    simulated: Type.Boolean({ description: 'Built in: its answers are made up.' }),
    state: Type.Enum([...backendStates], { description: 'Whether it may be used.' }),
    reason: name('Why its state is not `up`; empty when it is.'),
    breaker: Type.Enum(['closed', 'open', 'half-open'], { description: 'Its circuit breaker.' }),
    last_error: nullable(name('The last failure told of it.')),
    version: nullable(name('The Ollama version it answers; null until it has.')),
    weight: Type.Number({ description: 'Its relative share.' }),
    slots: nullable(
      Type.Integer({
        description: 'Requests it may hold at once; null when the policy counts the slots of each model.',
      }),
    ),
    in_flight: count('Requests it has at the moment.'),
    in_flight_by_model: Type.Record(Type.String(), Type.Integer(), { description: 'The same by model.' }),
    memory_bytes: nullable(bytes('Memory for models, where the configuration states it')),
    models: nullable(Type.Array(Type.String(), { description: 'What is installed; null until it has been asked.' })),
    resident: nullable(Type.Array(Resident, { description: 'What is in memory; null until it has been asked.' })),
    troubled: Type.Array(Type.Object({ model: Type.String(), reason: Type.String() }), {
      description: 'Models that are kept away from it for now, and why.',
    }),
    learnt: nullable(Learnt),
    tokens_per_second: nullable(
      Type.Number({
        description:
          'About how many tokens it has put out a second of late; null while nobody watches `/gateway/events`.',
      }),
    ),
  },
  { description: 'One Ollama and what is known of it.' },
);
export type Backend = Static<typeof Backend>;

export const Backends = Type.Object({ backends: Type.Array(Backend) });
export type Backends = Static<typeof Backends>;

export const Fleet = Type.Object(
  {
    now: Type.Number({
      description: 'The gateway’s clock, in epoch milliseconds: what `expires_at` is to be compared with.',
    }),
    version: name('The gateway’s own version.'),
    policy: name('The policy that routes.'),
    ready: Type.Boolean({ description: 'Whether it takes requests.' }),
    not_ready_reason: nullable(name('Why it does not.')),
    uptime_ms: ms('Since it started'),
    waiting: count('Requests that wait for a slot.'),
    in_flight: count('Requests with a backend.'),
    backends: Type.Array(Backend),
  },
  { description: 'The whole fleet at one moment.' },
);
export type Fleet = Static<typeof Fleet>;

export const ModelPlace = Type.Object(
  {
    state: Type.Enum(['resident', 'on-disk', 'missing', 'excluded', 'unknown'], {
      description:
        '`resident`: in memory. `on-disk`: installed. `excluded`: installed, but `models` of the backend keeps requests for it ' +
        'away. `missing`: not there. `unknown`: the backend has not told yet.',
    }),
    digest: nullable(name('Its digest there.')),
    differs: Type.Boolean({
      description: 'The digest is another than most backends have: the same name, another model.',
    }),
  },
  { description: 'A model on one backend.' },
);
export type ModelPlace = Static<typeof ModelPlace>;

export const Model = Type.Object({
  name: name('The model.'),
  size_bytes: bytes('Its size on disk'),
  digests: count('How many different digests go by this name.'),
  on: Type.Record(Type.String(), ModelPlace, { description: 'By backend.' }),
});
export type Model = Static<typeof Model>;

export const Models = Type.Object({ models: Type.Array(Model) });

export const QueueRow = Type.Object(
  {
    model: nullable(name('What they ask for; null for requests that need no model.')),
    client: name('Who asks.'),
    priority: count('Their priority class; 0 is served first.'),
    waiting: count('How many wait.'),
    longest_ms: ms('How long the first of them has waited'),
    soonest_refusal_ms: ms('How long until the first of them gives up'),
  },
  { description: 'Those of one client that wait for one model.' },
);
export type QueueRow = Static<typeof QueueRow>;

export const Queue = Type.Object({
  waiting: count('Requests that wait for a slot.'),
  limit: count('How many may.'),
  rows: Type.Array(QueueRow, { description: 'By model and client; who has waited longest is first.' }),
});
export type Queue = Static<typeof Queue>;

export const phases = ['receiving', 'queued', 'connecting', 'waiting', 'streaming'] as const;

export const ActiveRequest = Type.Object(
  {
    id: name('Its id, as in logs and headers.'),
    route: name('The route’s template.'),
    model: nullable(name('The model.')),
    client: name('Who asks.'),
    phase: Type.Enum([...phases], { description: 'Where it is.' }),
    backend: nullable(name('Who has it; null while it waits.')),
    reason: nullable(name('Why that one.')),
    stream: Type.Boolean({ description: 'Whether it asked for a stream.' }),
    attempts: count('Backends that were asked so far.'),
    age_ms: ms('Since it came'),
    first_byte_ms: nullable(ms('Until its answer began; null when it has not')),
    output_tokens: count('About how many tokens it has been answered so far.'),
  },
  { description: 'A request in flight. What it says is not told.' },
);
export type ActiveRequest = Static<typeof ActiveRequest>;

export const ActiveRequests = Type.Object({ requests: Type.Array(ActiveRequest) });

export const FinishedRequest = Type.Object(
  {
    id: name('Its id, as in logs and headers.'),
    ended_at: Type.Number({ description: 'When it ended, in epoch milliseconds.' }),
    route: name('The route’s template.'),
    model: nullable(name('The model.')),
    client: name('Who asked.'),
    backend: nullable(name('Who answered; null when nobody was asked.')),
    reason: nullable(name('Why that one.')),
    warm: nullable(Type.Boolean({ description: 'Whether the model was in memory there.' })),
    stream: Type.Boolean({ description: 'Whether it asked for a stream.' }),
    attempts: count('Backends that were asked.'),
    failovers: count('How often another backend had to be tried.'),
    status: Type.Integer({ description: 'The HTTP status.' }),
    outcome: name('`ok`, `client-gone`, or the code of what went wrong.'),
    queue_ms: ms('How long it waited for a slot'),
    first_byte_ms: nullable(ms('Until its answer began')),
    duration_ms: ms('In all'),
    prompt_tokens: nullable(count('Tokens of its prompt.')),
    output_tokens: nullable(count('Tokens of its answer.')),
    load_ms: nullable(ms('How long the backend took until its model could begin')),
    tokens_per_second: nullable(Type.Number({ description: 'How fast its answer was put out.' })),
  },
  { description: 'A request that has ended. What it said is not told.' },
);
export type FinishedRequest = Static<typeof FinishedRequest>;

export const FinishedRequests = Type.Object({ requests: Type.Array(FinishedRequest) });

export const Candidate = Type.Object(
  {
    backend: name('The backend.'),
    phase: Type.Enum(['absent', 'loading', 'ready', 'draining'], { description: 'The model there.' }),
    free: Type.Boolean({ description: 'Whether it had a slot.' }),
    wait_ms: ms('Expected wait for a slot'),
    load_ms: ms('Expected time to load the model'),
    prefill_ms: ms('Expected time to read the prompt'),
    cached_tokens: count('Tokens of the prompt that it remembers.'),
    total_ms: ms('Until the first token, as it was predicted'),
  },
  { description: 'A backend as it was weighed.' },
);
export type Candidate = Static<typeof Candidate>;

const decided = {
  ago_ms: ms('How long ago'),
  model: nullable(name('The model.')),
  options: name('Runner options; empty for the backend’s own.'),
  backend: name('The backend.'),
  why: name('In a sentence.'),
};

export const Decision = Type.Union(
  [
    Type.Object(
      {
        kind: Type.Literal('sent'),
        job: name('The request’s id.'),
        ...decided,
        reason: name('In a word, as in `x-llamero-route`.'),
        waited_ms: ms('In the gateway, before'),
        candidates: Type.Array(Candidate),
      },
      { description: 'A request was sent to a backend.' },
    ),
    Type.Object(
      {
        kind: Type.Literal('held'),
        job: name('The request’s id.'),
        ...decided,
        instead: name('The backend that was free.'),
        for_ms: ms('At most'),
        candidates: Type.Array(Candidate),
      },
      { description: 'A request that could have gone to one backend waits for another.' },
    ),
    Type.Object(
      {
        kind: Type.Literal('placed'),
        ...decided,
        evicted: Type.Array(Type.String(), { description: 'Models that had to go.' }),
        price_ms: ms('What that costs others'),
        regret_ms: ms('What waiting had cost those who want the model'),
        waiting: count('How many they are.'),
      },
      { description: 'A model was loaded ahead of requests.' },
    ),
  ],
  { description: 'A routing decision. Only the policy `soonest` explains itself.' },
);
export type Decision = Static<typeof Decision>;

export const Decisions = Type.Object({ decisions: Type.Array(Decision) });
export type Decisions = Static<typeof Decisions>;

export const UsageRow = Type.Object({
  day: nullable(Type.String({ description: 'UTC; null in a sum over days.' })),
  client: nullable(Type.String({ description: 'Null in a sum over clients.' })),
  model: nullable(Type.String({ description: 'Null in a sum over models.' })),
  requests: Type.Number({ description: 'That reached a backend.' }),
  aborted: Type.Number({ description: 'Of them, those whose client did not wait for the end.' }),
  prompt_tokens: Type.Number(),
  output_tokens: Type.Number(),
});
export type UsageRow = Static<typeof UsageRow>;

export const Usage = Type.Object({ usage: Type.Array(UsageRow) });
export type Usage = Static<typeof Usage>;

export const RequestDetail = Type.Object({
  active: nullable(ActiveRequest),
  finished: nullable(FinishedRequest),
  decisions: Type.Array(Decision, {
    description: 'What was decided about it, newest first, as far as it is remembered.',
  }),
});

export const Pull = Type.Object(
  {
    id: name('Its id.'),
    backend: name('Who pulls.'),
    model: name('What.'),
    state: Type.Enum(['running', 'succeeded', 'failed', 'cancelled'], { description: 'How it stands.' }),
    status: name('What the backend said last.'),
    completed_bytes: bytes('How much of the current layer has come'),
    total_bytes: bytes('The size of the current layer; 0 when there is none'),
    age_ms: ms('Since it began'),
  },
  { description: 'A pull that an operator has started.' },
);
export type Pull = Static<typeof Pull>;

export const Pulls = Type.Object({ pulls: Type.Array(Pull) });
export type Pulls = Static<typeof Pulls>;

export const Change = Type.Object(
  {
    weight: Type.Optional(Type.Number({ description: 'Above 0, at most 1000.', exclusiveMinimum: 0, maximum: 1000 })),
    slots: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 10_000 })], {
        description: 'A whole number from 1, or `auto`.',
      }),
    ),
  },
  { additionalProperties: false, description: 'What can be changed of a backend while the gateway runs.' },
);

export const NewBackend = Type.Object(
  { url: Type.String({ description: 'Where it listens.' }) },
  { description: 'The fields of a backend as in the configuration: url, name, weight, slots, models, and so on.' },
);

export const ModelName = Type.Object(
  { model: Type.String({ minLength: 1, maxLength: 512, description: 'A model name, e.g. `llama3.2:3b`.' }) },
  { additionalProperties: false, description: 'Which model.' },
);

export const LoadModel = Type.Object(
  {
    ...ModelName.properties,
    keep_alive: Type.Optional(
      Type.Union([Type.String({ maxLength: 32 }), Type.Number()], {
        description: 'How long it stays without being used, as Ollama writes it; -1 for ever.',
      }),
    ),
  },
  { additionalProperties: false, description: 'Which model, and for how long.' },
);

export const LogLevel = Type.Object(
  {
    level: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], {
      description: 'The least important lines that are written.',
    }),
  },
  { additionalProperties: false, description: 'How much is logged.' },
);
export type LogLevel = Static<typeof LogLevel>;

export const Reloaded = Type.Object({
  reloaded: Type.Boolean(),
  changes: Type.Array(Type.String(), { description: 'What takes effect only after a restart.' }),
});

export const EffectiveConfig = Type.Object({
  config: Type.Record(Type.String(), Type.Unknown(), {
    description: 'Every option as it counts now, written as in the file; secrets are left out.',
  }),
});

export const Problem = Type.Object(
  {
    type: Type.String({ description: '`about:blank`: the status says what kind it is.' }),
    title: Type.String({ description: 'The status in words.' }),
    status: Type.Integer({ description: 'The HTTP status.' }),
    detail: Type.String({ description: 'What is wrong, for people.' }),
  },
  { description: 'An error, as RFC 9457 has it.' },
);
