/** Who asks: from what a request carries to a client that may have what it asks for, before any route is served. */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../core/errors.ts';
import type { Client } from '../core/grants.ts';
import { hasScope, lacksScope } from '../core/permission.ts';
import { noGrant } from '../core/profiles.ts';
import type { Route } from '../dialects/dialect.ts';
import type { Identity } from '../identity/identity.ts';
import { apiKeyOf, authorizationSecret, pathKeyOf } from './credential.ts';
import { needsCloud, scopeOf } from './scopes.ts';

/** How it ended: by what a client was known, or why it was not. A closed set; each is a label of a metric. */
export const authOutcomes = [
  'anonymous',
  'key',
  'cli',
  'token',
  'user',
  'missing',
  'unknown',
  'expired',
  'revoked',
  'bad-signature',
  'skewed',
  'replayed',
  'bad-token',
  'token-without-profile',
  'scope',
  'rate-limited',
] as const;
export type AuthOutcome = (typeof authOutcomes)[number];

/** A client, or why there is none. */
export type Identified = Client | GatewayError;

export interface Authenticate {
  /**
   * Runs before a route is served, for every request; must cost next to nothing. `route` is null for paths that have none. An
   * address is all there is to know of who asks whether the gateway is there.
   */
  identify(request: IncomingMessage, route: Route | null): Identified | Promise<Identified>;
  /** How often each ended so, since the start. */
  readonly outcomes: Record<AuthOutcome, number>;
}

/** Sentences for people: what went wrong, and what to do. None says anything of the credential. */
const faults = {
  missing:
    'this gateway asks for a key: send it as `Authorization: Bearer KEY` or `x-api-key`, or put /k/KEY behind the address in OLLAMA_HOST',
  unknown: 'this gateway does not know this key; ask its operator for one',
  expired: 'this key has expired; ask the operator of this gateway for another',
  revoked: 'this key has been revoked; ask the operator of this gateway for another',
  'bad-signature':
    'the signature does not fit the request; check that nothing between here and the gateway changes its path',
  skewed: 'the signature is from another time; set the clock of this machine',
  replayed: 'this signature has been used already',
  'bad-token': 'this token is expired, not meant for this gateway, or not from an issuer it trusts; sign in again',
  'token-without-profile':
    'the token is good, and nothing it says of its holder gives it a profile here; ask the operator of this gateway',
} as const satisfies Partial<Record<AuthOutcome, string>>;

type Fault = keyof typeof faults;

/** The `ollama` command says something else whatever a 401 says, but shows the text of a 403. */
const goCommand = /^ollama\/\S+ \(/;

export function createAuthenticate(identity: Identity): Authenticate {
  return new Desk(identity);
}

class Desk implements Authenticate {
  readonly outcomes = Object.fromEntries(authOutcomes.map((name) => [name, 0])) as Record<AuthOutcome, number>;
  readonly #identity: Identity;

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  identify(request: IncomingMessage, route: Route | null): Identified | Promise<Identified> {
    const address = request.socket.remoteAddress ?? '';
    // The command greets before it says anything else, and shows nothing that comes back.
    if (route?.endpoint === 'root') return { id: address, grant: noGrant };
    const found = this.#find(request, address);
    if (typeof found === 'string') return this.#refuse(found, request);
    if (!(found instanceof Promise)) return this.#admit(found, route);
    return found.then((later) =>
      typeof later === 'string' ? this.#refuse(later, request) : this.#admit(later, route),
    );
  }

  /** By the first of its credentials that is known; an open gateway does not mind those that are not. */
  #find(request: IncomingMessage, address: string): Client | Fault | Promise<Client | Fault> {
    const { headers } = request;
    const { authorization } = headers;
    let fault: Fault = 'missing';
    const secrets = [pathKeyOf(request), authorization === undefined ? null : authorizationSecret(authorization)];
    for (const secret of [...secrets, apiKeyOf(headers)]) {
      if (secret === null) continue;
      const token = this.#identity.token(secret);
      if (token !== null) return this.#byToken(token, address);
      const key = this.#identity.key(secret);
      if (typeof key !== 'string') {
        const user = this.#userName(request);
        return this.#known('key', user === null ? key.client : this.#identity.userOf(key, user));
      }
      fault = key;
    }
    if (authorization !== undefined && secrets[1] === null) {
      const { method = 'GET', socket, url = '/' } = request;
      const signer = this.#identity.signed({ authorization, method, target: url, connection: socket });
      if (typeof signer !== 'string') return this.#known('cli', signer);
      fault = signer;
    }
    return this.#unnamed(request, address, fault);
  }

  #byToken(token: Client | Fault | Promise<Client | Fault>, address: string): Client | Fault | Promise<Client | Fault> {
    const take = (found: Client | Fault): Client | Fault => {
      if (typeof found !== 'string') return this.#known('token', found);
      return this.#anonymous(address) ?? found;
    };
    return token instanceof Promise ? token.then(take) : take(token);
  }

  #unnamed(request: IncomingMessage, address: string, fault: Fault): Client | Fault {
    const name = this.#userName(request);
    const user = name === null ? null : this.#identity.userFrom(address, name);
    if (user !== null) return this.#known('user', user);
    return this.#anonymous(address) ?? fault;
  }

  #anonymous(address: string): Client | null {
    const client = this.#identity.anonymous(address);
    return client === null ? null : this.#known('anonymous', client);
  }

  #known(by: AuthOutcome, client: Client): Client {
    this.outcomes[by] += 1;
    return client;
  }

  #userName({ headers }: IncomingMessage): string | null {
    const { userHeader } = this.#identity;
    const name = userHeader === null ? undefined : headers[userHeader];
    return typeof name === 'string' ? name : null;
  }

  #admit(client: Client, route: Route | null): Identified {
    const scope = scopeOf(route);
    const { grant } = client;
    if (scope !== null && !hasScope(grant, scope)) return this.#forbid(lacksScope(scope));
    if (needsCloud(route) && !grant.cloud) {
      return this.#forbid(
        new GatewayError('forbidden', 'this is done by ollama.com, which the profile of the caller does not allow'),
      );
    }
    return client;
  }

  #forbid(error: GatewayError): GatewayError {
    this.outcomes.scope += 1;
    return error;
  }

  #refuse(fault: Fault, { headers }: IncomingMessage): GatewayError {
    this.outcomes[fault] += 1;
    const isCommand = goCommand.test(headers['user-agent'] ?? '');
    return new GatewayError(isCommand ? 'forbidden' : 'unauthorized', faults[fault]);
  }
}
