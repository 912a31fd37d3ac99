/** The sections that no single room owns: where to listen, when to stop, what to simulate. */
import { Type, type Static } from 'typebox';
import { Address, Duration, Secret, Size } from '../core/options.ts';

const closed = { additionalProperties: false } as const;

export const ListenOptions = Type.Object(
  {
    address: Address({
      description: 'Where clients connect. Ollama itself has port 11434, so that both fit on one machine.',
      default: '127.0.0.1:11435',
    }),
    bodyLimit: Size({
      description: 'The largest request body; images in a chat are the usual reason for a large one.',
      default: '256MiB',
      minimum: '1KiB',
    }),
    headersTimeout: Duration({
      description: 'How long a client may take to send the head of a request.',
      default: '10s',
      minimum: '100ms',
    }),
    bodyTimeout: Duration({
      description: 'How long a client may pause while it sends the body of a request.',
      default: '30s',
      minimum: '100ms',
    }),
    keepAliveTimeout: Duration({
      description: 'How long an idle connection of a client is kept; longer than any load balancer in front keeps it.',
      default: '75s',
    }),
    headerLimit: Size({
      description: 'The largest head of a request: its first line and all its header fields.',
      default: '64KiB',
      minimum: '1KiB',
    }),
  },
  { ...closed, description: 'The listener for clients.' },
);
export type ListenOptions = Static<typeof ListenOptions>;

export const AdminOptions = Type.Object(
  {
    address: Address({
      description: 'Where metrics, probes and the admin API are served; keep it off the public network.',
      default: '127.0.0.1:11436',
    }),
    token: Type.Optional(
      Secret({
        description:
          'What operators send as `Authorization: Bearer …` to change something. Without it, changes are possible only while ' +
          'the listener is on loopback.',
      }),
    ),
  },
  { ...closed, description: 'The listener for operators.' },
);
export type AdminOptions = Static<typeof AdminOptions>;

export const ShutdownOptions = Type.Object(
  {
    delay: Duration({
      description: 'After SIGTERM, how long to go on accepting while /readyz already says no.',
      default: '0',
    }),
    grace: Duration({ description: 'How long answers under way may take to finish after that.', default: '30s' }),
  },
  { ...closed, description: 'Stopping.' },
);
export type ShutdownOptions = Static<typeof ShutdownOptions>;

export const SimulateOptions = Type.Object(
  {
    count: Type.Integer({
      description: 'Simulated Ollamas to start beside the backends; they answer with made-up text.',
      default: 0,
      minimum: 0,
      maximum: 64,
    }),
    models: Type.Array(Type.String({ minLength: 1 }), {
      description: 'The models each of them has.',
      default: ['llama3.2:3b', 'qwen3:8b', 'nomic-embed-text'],
      minItems: 1,
    }),
    slots: Type.Integer({ description: 'Requests one loaded model serves at a time.', default: 2, minimum: 1 }),
    loadTime: Duration({ description: 'How long it takes to load a model.', default: '2s' }),
    tokensPerSecond: Type.Number({
      description: 'Output tokens a second, for each stream.',
      default: 60,
      exclusiveMinimum: 0,
    }),
    seed: Type.Integer({ description: 'The same seed gives the same text.', default: 1 }),
  },
  { ...closed, description: 'Simulated Ollamas, for a first look and for tests.' },
);
export type SimulateOptions = Static<typeof SimulateOptions>;
