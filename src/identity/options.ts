/** Who may use the gateway, and how they say who they are: the `clients` section. */
import { Type, type Static } from 'typebox';
import { Duration } from '../core/options.ts';
import { TokenOptions } from './tokens.ts';

export const AuthOption = Type.Union([Type.Literal('auto'), Type.Literal('open'), Type.Literal('required')], {
  description:
    'Whether a client has to say who it is. `auto`: not while only this machine can reach the gateway and `clients` names no ' +
    'keys; on any other address it does not start without one of the two. `open`: nobody has to. `required`: everybody.',
  default: 'auto',
});
export type AuthOption = Static<typeof AuthOption>;

const requests = Type.Object(
  {
    limit: Type.Integer({ description: 'How many requests; 0 means as many as it likes.', default: 0, minimum: 0 }),
    window: Duration({ description: 'In how long.', default: '1m', minimum: '1s' }),
  },
  {
    additionalProperties: false,
    description:
      'How often one address may ask, whoever it says it is; looked at before anything else, so that guessing is slow.',
  },
);

export const ClientsOptions = Type.Object(
  {
    keys: Type.Optional(
      Type.String({
        description: 'The file of keys that `llamero keys` writes. It is read again within a second of a change.',
        minLength: 1,
      }),
    ),
    authorizedKeys: Type.Optional(
      Type.String({
        description:
          'A file of public keys (ed25519, as in OpenSSH) of people whose `ollama` command signs its requests (`OLLAMA_AUTH=1`). ' +
          '`profile="NAME"` before a key names what it may do; without that, `signedProfile`.',
        minLength: 1,
      }),
    ),
    signedProfile: Type.String({ description: 'The profile of those keys.', default: 'operator', minLength: 1 }),
    signedWindow: Duration({
      description: 'How far the clock of such a client may be from ours.',
      default: '1m',
      minimum: '1s',
    }),
    tokens: Type.Array(TokenOptions, {
      description: 'Identity providers whose signed tokens (JWT) are accepted as `Authorization: Bearer`.',
      default: [],
    }),
    networks: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
      description:
        'Addresses, as `10.0.0.7` or `10.0.0.0/8`, from which nobody has to say who they are, and the profile they have: for ' +
        'clients that can’t send a key.',
      default: {},
    }),
    users: Type.Optional(
      Type.Object(
        {
          header: Type.String({
            description: 'The header that names the user.',
            default: 'x-openwebui-user-id',
            pattern: '^[a-z0-9-]+$',
          }),
          from: Type.Array(Type.String({ minLength: 1 }), {
            description:
              'Addresses of fronts that are believed without a key. A key made with `--users` is believed from anywhere.',
            default: [],
          }),
          profile: Type.String({
            description: 'What users named by such an address may do; those named by a key may do what the key may.',
            default: 'plain',
            minLength: 1,
          }),
        },
        {
          additionalProperties: false,
          description:
            'Users of a front, such as Open WebUI, that says in a header for whom it asks. Each is a client of their own then, with ' +
            'a fair share of their own.',
        },
      ),
    ),
    anonymous: Type.Optional(
      Type.String({
        description:
          'The profile of those who need not say who they are. Without it, `operator` while only this machine can reach the ' +
          'gateway, else `plain`.',
        minLength: 1,
      }),
    ),
    requests,
  },
  { additionalProperties: false, description: 'Who may use the gateway, and how they say who they are.' },
);
export type ClientsOptions = Static<typeof ClientsOptions>;

/** Whether anybody can say who they are. */
export function hasIdentities({ authorizedKeys, keys, tokens }: ClientsOptions): boolean {
  return keys !== undefined || authorizedKeys !== undefined || tokens.length > 0;
}
