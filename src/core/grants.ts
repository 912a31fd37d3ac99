/**
 * Who asks and what they may do. A client is what fairness, limits, accounts and logs are kept by: a key, a user told by a
 * trusted front, a signed-in token, a CLI's own key pair, or, where nobody has to say who they are, an address.
 */
import { Type, type Static } from 'typebox';
import { Duration } from './options.ts';
import type { ClientId, ModelName } from './types.ts';

/** What a route needs: to run a model, to look, to change what is installed, to operate the gateway. */
export type Scope = 'inference' | 'models:read' | 'models:write' | 'admin';

/** Bands of the queue, served first to last. */
export const bands = ['interactive', 'standard', 'batch'] as const;
export type Band = (typeof bands)[number];

const count = (description: string) => Type.Optional(Type.Integer({ description, minimum: 1 }));

export const GrantOptions = Type.Object(
  {
    scopes: Type.Array(
      Type.Union([
        Type.Literal('inference'),
        Type.Literal('models:read'),
        Type.Literal('models:write'),
        Type.Literal('admin'),
      ]),
      {
        description:
          'What may be done: run models (`inference`), list and show them (`models:read`), pull, push, create, copy and delete ' +
          'them (`models:write`), operate the gateway (`admin`).',
        default: ['inference', 'models:read'],
      },
    ),
    models: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          'The models that may be used and seen; `*` in a name stands for any text. Without it, all of them.',
      }),
    ),
    cloud: Type.Boolean({
      description: 'Whether models that run on somebody else’s computers may be used.',
      default: false,
    }),
    priority: Type.Union([Type.Literal('interactive'), Type.Literal('standard'), Type.Literal('batch')], {
      description: 'The band of the queue its requests wait in; a band is served before those after it.',
      default: 'standard',
    }),
    weight: Type.Number({
      description: 'Its share of the fleet among the clients of its band, relative to theirs.',
      default: 1,
      exclusiveMinimum: 0,
    }),
    requests: Type.Optional(
      Type.Object(
        {
          limit: Type.Integer({ description: 'How many requests.', minimum: 1 }),
          window: Duration({ description: 'In how long.', default: '1m', minimum: '1s' }),
        },
        { additionalProperties: false, description: 'How often it may ask.' },
      ),
    ),
    tokensPerMinute: count('Tokens, of prompts and answers together, in any minute.'),
    tokensPerDay: count('The same in any day.'),
    concurrency: count('How many of its requests may be with a backend at a time.'),
    queued: count('How many of its requests may wait at a time.'),
    contextLength: count('The largest `num_ctx` it may ask for; a larger one is lowered to it.'),
    maxOutputTokens: count('The most tokens one answer may have; a larger or missing limit is lowered to it.'),
    keepAlive: Type.Optional(
      Duration({
        description: 'The longest `keep_alive` it may ask for; a longer one is lowered to it.',
        minimum: '1s',
      }),
    ),
    images: Type.Optional(
      Type.Integer({ description: 'The most images one request may carry; 0 means none.', minimum: 0 }),
    ),
    inputs: count('The most texts one request may have embedded.'),
    raw: Type.Boolean({
      description:
        'Whether prompts may go round the model’s own template: `raw`, `template`, `suffix`, `context`, `_debug_render_only`. ' +
        'Without it such a request is refused.',
      default: true,
    }),
    control: Type.Boolean({
      description:
        'Whether a request may steer a backend’s memory. Without it, one that only loads or unloads a model is refused, and from ' +
        'others `keep_alive` and the options that make a model load anew are left out (`num_ctx` stays where `contextLength` ' +
        'limits it).',
      default: true,
    }),
  },
  { additionalProperties: false, description: 'What a client may do, and how much of it.' },
);
export type Grant = Static<typeof GrantOptions>;

export interface Client {
  /**
   * Stable, and never a secret: `key:<id>`, `user:<name>`, `token:<subject>`, `cli:<fingerprint>`, or the address itself. Stands in
   * logs, the queue and the ledger.
   */
  readonly id: ClientId;
  readonly grant: Grant;
  /** Whether `grant.models` lists a canonical name, where that was worked out beforehand. */
  readonly lists?: (model: ModelName) => boolean;
}
