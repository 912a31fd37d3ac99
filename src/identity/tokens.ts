/** Signed tokens (JWT) of an identity provider. The only file that knows jose, which is loaded when a provider is configured. */
import { Type, type Static } from 'typebox';
import type { Client } from '../core/grants.ts';
import { lastingClient } from '../core/permission.ts';
import type { Profiles } from '../core/profiles.ts';
import { Duration } from '../core/options.ts';
import { digestOf } from './key-text.ts';

const algorithms = ['EdDSA', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'] as const;

export const TokenOptions = Type.Object(
  {
    issuer: Type.String({ description: 'The `iss` of its tokens, to the letter.', minLength: 1 }),
    audience: Type.Array(Type.String({ minLength: 1 }), {
      description: 'Accepted values of `aud`: for whom the tokens are meant, which is this gateway.',
      minItems: 1,
    }),
    jwks: Type.String({ description: 'Where its public keys are, as a JSON Web Key Set.', format: 'uri' }),
    algorithms: Type.Array(Type.Enum([...algorithms]), {
      description: 'Accepted signatures. None of them takes a shared secret.',
      default: ['RS256', 'ES256', 'EdDSA'],
      minItems: 1,
    }),
    subject: Type.String({ description: 'The claim that tells its users apart.', default: 'sub', minLength: 1 }),
    claim: Type.String({
      description: 'The claim, a text or a list of texts, that `profiles` are chosen by.',
      default: 'groups',
      minLength: 1,
    }),
    profiles: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
      description: 'Values of the claim and the profile each gives; the first that a token has counts.',
      default: {},
    }),
    profile: Type.Optional(
      Type.String({
        description: 'The profile of tokens without any of those values. Without it they are refused.',
        minLength: 1,
      }),
    ),
    skew: Duration({ description: 'How far its clock and ours may be apart.', default: '30s' }),
  },
  { additionalProperties: false, description: 'An identity provider whose signed tokens (JWT) are accepted.' },
);
export type TokenOptions = Static<typeof TokenOptions>;

export type TokenFault = 'bad-token' | 'token-without-profile';

export interface TokenCheck {
  /** Three texts with dots between. `now` is the wall clock. The answer is there at once for a token that was seen before. */
  check(token: string, now: number): Client | TokenFault | Promise<Client | TokenFault>;
}

type Verify = (token: string, now: number) => Promise<Seen>;

interface Seen {
  readonly client: Client;
  /** Epoch milliseconds. */
  readonly until: number;
}

const MAX_SEEN = 10_000;
const MAX_TOKEN_LENGTH = 16 * 1024;

/** What a signed token may look like; who sends something else sends no token. */
export function isTokenText(text: string): boolean {
  return text.startsWith('eyJ') && text.length <= MAX_TOKEN_LENGTH && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);
}

class Without extends Error {}

export function createTokenCheck(providers: readonly TokenOptions[], profiles: Profiles): TokenCheck {
  /** By digest, so that no token that works lies about in memory. */
  const seen = new Map<string, Seen>();
  let verify: Promise<Verify> | null = null;
  return {
    check(token, now) {
      const digest = digestOf(token);
      const known = seen.get(digest);
      if (known !== undefined && now < known.until) return known.client;
      seen.delete(digest);
      verify ??= createVerify(providers, profiles);
      return verify
        .then((of) => of(token, now))
        .then(
          (found) => {
            if (seen.size >= MAX_SEEN) seen.delete(seen.keys().next().value!);
            seen.set(digest, found);
            return found.client;
          },
          (error: unknown): TokenFault => (error instanceof Without ? 'token-without-profile' : 'bad-token'),
        );
    },
  };
}

async function createVerify(providers: readonly TokenOptions[], profiles: Profiles): Promise<Verify> {
  const { createRemoteJWKSet, decodeJwt, jwtVerify } = await import('jose');
  const byIssuer = new Map(
    providers.map((provider) => {
      const keys = createRemoteJWKSet(new URL(provider.jwks), { timeoutDuration: 5000, cooldownDuration: 30_000 });
      return [provider.issuer, { provider, keys }] as const;
    }),
  );
  return async (token, now) => {
    // Not believed yet: it only says whose keys to try.
    const found = byIssuer.get(decodeJwt(token).iss ?? '');
    if (found === undefined) throw new Error('of no provider that is configured');
    const { keys, provider } = found;
    const { payload } = await jwtVerify(token, keys, {
      issuer: provider.issuer,
      audience: provider.audience,
      algorithms: provider.algorithms,
      clockTolerance: provider.skew / 1000,
      currentDate: new Date(now),
      requiredClaims: ['exp', provider.subject],
    });
    const subject = payload[provider.subject];
    const grant = profiles.get(profileOf(payload[provider.claim], provider) ?? '');
    if (typeof subject !== 'string' || !/^[\x21-\x7e]{1,128}$/.test(subject))
      throw new Error('without a usable subject');
    if (grant === undefined) throw new Without();
    return { client: lastingClient(`token:${subject}`, grant), until: payload.exp! * 1000 + provider.skew };
  };
}

function profileOf(claim: unknown, { profile, profiles }: TokenOptions): string | undefined {
  const values = new Set(Array.isArray(claim) ? claim : [claim]);
  return Object.entries(profiles).find(([value]) => values.has(value))?.[1] ?? profile;
}
