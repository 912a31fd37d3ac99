/** The sections that no single room owns: where to listen, when to stop, what to simulate. */
import { Type, type Static } from 'typebox';
import { TlsOptions } from '../http/tls.ts';
import { Address, Duration, Secret, Size } from '../core/options.ts';

const closed = { additionalProperties: false } as const;

/** As Ollama lists them: this machine under three names, and the shells of desktop applications. */
const ollamaOrigins = [
  ...['localhost', '127.0.0.1', '0.0.0.0'].flatMap((host) =>
    ['http', 'https'].flatMap((scheme) => [`${scheme}://${host}`, `${scheme}://${host}:*`]),
  ),
  ...['app', 'file', 'tauri', 'vscode-webview', 'vscode-file'].map((scheme) => `${scheme}://*`),
];

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
      description:
        'How long a client may take to send the body of a request; each KiB that has come gives it a second more.',
      default: '30s',
      minimum: '100ms',
    }),
    keepAliveTimeout: Duration({
      description: 'How long an idle connection of a client is kept; longer than any load balancer in front keeps it.',
      default: '75s',
    }),
    reusePort: Type.Boolean({
      description:
        'Let another process listen on the same ports meanwhile, so that a new one can start before the old one stops.',
      default: false,
    }),
    headerLimit: Size({
      description: 'The largest head of a request: its first line and all its header fields.',
      default: '64KiB',
      minimum: '1KiB',
    }),
    headerFields: Type.Integer({
      description: 'The most header fields a request may have.',
      default: 100,
      minimum: 10,
      maximum: 1000,
    }),
    tls: Type.Optional(TlsOptions),
    origins: Type.Array(Type.String({ minLength: 1 }), {
      description:
        'Web pages that may speak to the gateway, by origin; one `*` in an origin stands for any text, `*` alone for every ' +
        'page. The default is that of Ollama; a list replaces it.',
      default: ollamaOrigins,
    }),
    hosts: Type.Array(Type.String({ minLength: 1 }), {
      description:
        'Names the gateway answers to while it listens on loopback, beside localhost, this machine’s name, `*.local`, ' +
        '`*.internal` and private addresses; for a proxy on this machine that passes its own name on. `*` is any name. It keeps ' +
        'web pages from reaching the gateway under a name of theirs.',
      default: [],
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
