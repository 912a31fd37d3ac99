/** A backend as the operator wrote it down (`BackendOptions`) and as the fleet holds it (`BackendSpec`). */
import { Type, type Static } from 'typebox';
import { Duration, Secret, Size } from './options.ts';
import { canonicalModelName } from './model-name.ts';
import type { BackendId, ModelName } from './types.ts';

/**
 * Concurrent requests of a backend whose slots are `auto`. Ollama does not tell its OLLAMA_NUM_PARALLEL; its default is 1,
 * per loaded model. Four keeps a server that was raised busy, and costs one that was not only that up to three requests
 * wait in its own queue instead of ours.
 */
export const AUTO_SLOTS = 4;

export const BackendOptions = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        description: 'Name in logs, metrics and headers. Without it, host and port of the URL.',
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$',
        maxLength: 63,
      }),
    ),
    url: Type.String({
      description: 'Where the Ollama listens, e.g. `http://10.0.0.2:11434`.',
      pattern: '^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\s]+(/[^?#\\s]*)?$',
    }),
    weight: Type.Number({
      description: 'Relative share of the requests; a backend of weight 2 takes twice the load of one of weight 1.',
      exclusiveMinimum: 0,
      maximum: 1000,
      default: 1,
    }),
    slots: Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 10_000 })], {
      description:
        `Requests it may hold at once; the others wait in the gateway. Set it to the server's OLLAMA_NUM_PARALLEL times ` +
        `the models it serves at once. \`auto\` is ${AUTO_SLOTS}; under the policy \`soonest\`, which counts the slots of each ` +
        `model, it is no limit.`,
      default: 'auto',
    }),
    parallel: Type.Optional(
      Type.Integer({
        description:
          'Requests one loaded model serves at a time: its OLLAMA_NUM_PARALLEL. Without it, it is learnt from how long ' +
          'requests wait inside the backend. Only the policy `soonest` asks for it.',
        minimum: 1,
        maximum: 1000,
      }),
    ),
    places: Type.Optional(
      Type.Integer({
        description:
          'Models it holds in memory at once: its OLLAMA_MAX_LOADED_MODELS. Without it, it is learnt from when the backend ' +
          'makes room. Only the policy `soonest` asks for it.',
        minimum: 1,
        maximum: 1000,
      }),
    ),
    memory: Type.Optional(
      Size({
        description:
          'Memory for models, e.g. `24GiB`. With it the policy `soonest` foresees which models fit beside each other.',
        minimum: 1,
      }),
    ),
    tier: Type.Optional(
      Type.Integer({
        description:
          'Backends of tier 2 get a request only when no backend of tier 1 could take it, and so on. Without it, 1. Only ' +
          'the policy `soonest` minds it.',
        minimum: 1,
        maximum: 100,
      }),
    ),
    discover: Type.Optional(
      Type.Enum(['addresses', 'srv'], {
        description:
          'One backend for each address of the URL’s host name (`addresses`), or for each target of its SRV record (`srv`), ' +
          'looked up again and again. Without it, one backend whose connections follow the name.',
      }),
    ),
    wake: Type.Optional(
      Type.Object(
        {
          mac: Type.String({
            description: 'The hardware address of its network card, e.g. `a4:bb:6d:00:11:22`.',
            pattern: '^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$',
          }),
          broadcast: Type.String({
            description:
              'Where the packet goes: the broadcast address of the machine’s network, e.g. `192.168.1.255`, which routers and ' +
              'hosts with several networks need.',
            default: '255.255.255.255',
            pattern: '^\\d{1,3}(\\.\\d{1,3}){3}$',
          }),
          port: Type.Integer({ description: 'Its UDP port; any will do.', minimum: 1, maximum: 65_535, default: 9 }),
          wait: Duration({
            description: 'How long it may take to answer. Then it rests for as long before it is tried again.',
            default: '90s',
            minimum: '1s',
          }),
          backlog: Duration({
            description:
              'It is woken, too, when others could serve a request, but only after a wait of more than this.',
            default: '30s',
            minimum: 0,
          }),
        },
        {
          additionalProperties: false,
          description:
            'How to wake the machine (Wake-on-LAN) when it is down and a request needs it. Requests wait for it in the queue.',
        },
      ),
    ),
    models: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          'Only these models are sent to it: names, or patterns with `*` and `?`, e.g. `["llama3*", "qwen3:8b"]`. ' +
          'Without it, whatever it has.',
      }),
    ),
    specialAddress: Type.Optional(
      Type.Boolean({
        description:
          'Let it have an address behind which clouds keep credentials and other machines’ services: link-local ones like ' +
          '169.254.169.254, multicast, and the like. It can be said in the configuration only.',
      }),
    ),
    tls: Type.Optional(
      Type.Object(
        {
          ca: Type.Optional(
            Type.String({ description: 'PEM file of the authorities to trust, instead of the system’s.' }),
          ),
          cert: Type.Optional(Type.String({ description: 'PEM file of the certificate the gateway shows.' })),
          key: Type.Optional(Type.String({ description: 'PEM file of the private key to `cert`.' })),
          servername: Type.Optional(
            Type.String({ description: 'Name to ask for and to verify, when it is not the URL’s host.' }),
          ),
          insecureSkipVerify: Type.Boolean({
            description: 'Accept any certificate. Whoever sits between reads every prompt.',
            default: false,
          }),
        },
        { additionalProperties: false, description: 'How to speak TLS to it.' },
      ),
    ),
    auth: Type.Optional(
      Type.Object(
        {
          token: Secret({ description: 'Credential the gateway shows to this backend.' }),
          header: Type.Optional(
            Type.String({
              description: 'Header that carries the token as it is. Without it, `Authorization: Bearer <token>`.',
              pattern: '^[A-Za-z0-9-]+$',
            }),
          ),
        },
        { additionalProperties: false, description: 'What the backend, or a proxy in front of it, asks for.' },
      ),
    ),
  },
  { additionalProperties: false, description: 'One Ollama.' },
);
export type BackendOptions = Static<typeof BackendOptions>;

export interface BackendSpec {
  readonly id: BackendId;
  /** Scheme, host, port and path prefix; no trailing slash. */
  readonly url: string;
  readonly weight: number;
  readonly slots: number | 'auto';
  /** Requests one loaded model serves at a time, and models held at once; learnt when absent. */
  readonly parallel?: number;
  readonly places?: number;
  /** Bytes for models. */
  readonly memory?: number;
  /** 1 when absent. */
  readonly tier?: number;
  /** Patterns the canonical model name must match one of; null when everything is allowed. */
  readonly models: readonly string[] | null;
  /** A name that stands for several; such a spec is never a backend itself. */
  readonly discover?: 'addresses' | 'srv';
  readonly specialAddress?: boolean;
  readonly tls?: BackendTls;
  readonly auth?: BackendAuth;
  readonly wake?: Wake;
}

/** How to wake it; times in ms. */
export type Wake = NonNullable<BackendOptions['wake']>;

/** File names, as configured; backends reads them. */
export type BackendTls = NonNullable<BackendOptions['tls']>;
export type BackendAuth = NonNullable<BackendOptions['auth']>;

/** A backend of which only some fields are stated; the rest is as the schema has it. */
export function withDefaults(stated: Partial<BackendOptions> & Pick<BackendOptions, 'url'>): BackendOptions {
  const usual: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(BackendOptions.properties)) {
    if ('default' in schema) usual[name] = schema.default;
  }
  return { ...usual, ...stated } as BackendOptions;
}

/** Specs in the same order. Unnamed backends are named after their host and port, and numbered when two would collide. */
export function backendSpecs(options: readonly BackendOptions[]): readonly BackendSpec[] {
  const taken = new Set(options.flatMap((option) => (option.name === undefined ? [] : [option.name])));
  return options.map((option) => {
    const { name, url, weight, slots, models, ...connection } = option;
    let id = name;
    if (id === undefined) {
      id = numbered(nameOf(url), taken);
      taken.add(id);
    }
    return { id, url: url.replace(/\/+$/, ''), weight, slots, models: models ?? null, ...connection };
  });
}

/** Throughout core: how many leases the spec allows. */
export function slotsOf(spec: BackendSpec, autoSlots: number = AUTO_SLOTS): number {
  return spec.slots === 'auto' ? autoSlots : spec.slots;
}

/**
 * A test for canonical names. A pattern without wildcards is a model name and follows its defaults (`llama3.2` is
 * `llama3.2:latest`); `*` stands for any text, `?` for one character.
 */
export function modelFilter(patterns: readonly string[]): (model: ModelName) => boolean {
  const exact = new Set<string>();
  const globs: string[] = [];
  for (const pattern of patterns) {
    if (/[*?]/.test(pattern)) globs.push(pattern.toLowerCase());
    else exact.add(canonicalModelName(pattern) ?? pattern);
  }
  return (model) => exact.has(model) || globs.some((glob) => matchesGlob(glob, model));
}

/** No regular expression: one with several `*` takes exponential time on names that a client chooses. */
function matchesGlob(glob: string, text: string): boolean {
  let inGlob = 0;
  let inText = 0;
  let star = -1;
  let afterStar = 0;
  while (inText < text.length) {
    const symbol = glob[inGlob];
    if (symbol === '*') {
      star = inGlob;
      afterStar = inText;
      inGlob += 1;
    } else if (symbol === '?' || symbol === text[inText]) {
      inGlob += 1;
      inText += 1;
    } else if (star >= 0) {
      // Let the last star stand for one character more; earlier ones need not change.
      afterStar += 1;
      inText = afterStar;
      inGlob = star + 1;
    } else {
      return false;
    }
  }
  while (glob[inGlob] === '*') inGlob += 1;
  return inGlob === glob.length;
}

function nameOf(url: string): BackendId {
  const { hostname, port } = new URL(url);
  const text = port === '' ? hostname : `${hostname}-${port}`;
  const safe = text.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return safe === '' ? 'backend' : safe.slice(0, 56);
}

function numbered(name: BackendId, taken: ReadonlySet<BackendId>): BackendId {
  if (!taken.has(name)) return name;
  let number = 2;
  while (taken.has(`${name}-${number}`)) number += 1;
  return `${name}-${number}`;
}
