/** Who asks: from what a request carries to a client and its grant, before any route is served. */
import type { IncomingMessage } from 'node:http';
import { Type, type Static } from 'typebox';
import type { GatewayError } from '../core/errors.ts';
import type { Client, Grant } from '../core/grants.ts';
import type { Route } from '../dialects/dialect.ts';
import { builtInProfiles, createProfiles, type ProfilesOptions } from '../core/profiles.ts';

export const AuthOption = Type.Union([Type.Literal('auto'), Type.Literal('open'), Type.Literal('required')], {
  description:
    'Whether a client has to say who it is. `auto`: not while only this machine can reach the gateway and no keys are configured; ' +
    'on any other address it does not start without one of the two. `open`: nobody has to. `required`: everybody.',
  default: 'auto',
});
export type AuthOption = Static<typeof AuthOption>;

export const ClientsOptions = Type.Object(
  {
    anonymous: Type.Optional(
      Type.String({
        description:
          'The profile of those who need not say who they are. Without it, `operator` while only this machine can reach the ' +
          'gateway, else `plain`.',
        minLength: 1,
      }),
    ),
  },
  { additionalProperties: false, description: 'Who may use the gateway, and how they say who they are.' },
);
export type ClientsOptions = Static<typeof ClientsOptions>;

export interface AuthenticateOptions {
  readonly auth: AuthOption;
  readonly clients: ClientsOptions;
  readonly profiles: ProfilesOptions;
}

/** A client, or why there is none. */
export type Identified = Client | GatewayError;

export interface Authenticate {
  /** Runs before a route is served, for every request; must cost next to nothing. `route` is null for paths that have none. */
  identify(request: IncomingMessage, route: Route | null): Identified | Promise<Identified>;
  /** The listener has its address: whether only this machine can reach it. */
  bound(isLoopback: boolean): void;
  setOptions(options: AuthenticateOptions): void;
}

export function createAuthenticate(initial: AuthenticateOptions): Authenticate {
  let options = initial;
  let isLoopback = false;
  let anonymous = anonymousGrant(options, isLoopback);
  return {
    identify: (request) => ({ id: request.socket.remoteAddress ?? '', grant: anonymous }),
    bound(loopback) {
      isLoopback = loopback;
      anonymous = anonymousGrant(options, isLoopback);
    },
    setOptions(next) {
      options = next;
      anonymous = anonymousGrant(options, isLoopback);
    },
  };
}

function anonymousGrant({ clients, profiles }: AuthenticateOptions, isLoopback: boolean): Grant {
  const name = clients.anonymous ?? (isLoopback ? 'operator' : 'plain');
  return createProfiles(profiles).get(name) ?? builtInProfiles.plain;
}
