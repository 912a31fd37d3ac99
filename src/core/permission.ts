/** What a grant lets its holder do: scopes for routes, names for models. */
import { modelFilter } from './backend.ts';
import { GatewayError } from './errors.ts';
import type { Client, Grant, Scope } from './grants.ts';
import { canonicalModelName, isCloudModel } from './model-name.ts';
import type { ClientId, ModelName } from './types.ts';

/** Whether the client may use a canonical name: by its list, and by whether somebody else's computer would run it. */
export function mayUseModel({ grant, lists }: Client, model: ModelName): boolean {
  if (!grant.cloud && isCloudModel(model)) return false;
  return grant.models === undefined || (lists ?? modelFilter(grant.models))(model);
}

/** Throws `forbidden` unless the client may use the model. */
export function demandModel(client: Client, model: ModelName): void {
  if (!mayUseModel(client, model)) throw lacksModel(client.grant, model);
}

/**
 * The same for a request that the operator's rules send to another model than it names: it may be made when the client may use
 * either, and when no cloud is involved that it may not use.
 */
export function demandModels(client: Client, asked: ModelName, runs: ModelName): void {
  if (asked === runs) return demandModel(client, asked);
  const isCloudDenied = !client.grant.cloud && (isCloudModel(asked) || isCloudModel(runs));
  if (isCloudDenied || !(mayUseModel(client, asked) || mayUseModel(client, runs))) throw lacksModel(client.grant, runs);
}

function lacksModel({ cloud }: Grant, model: ModelName): GatewayError {
  if (!cloud && isCloudModel(model)) return lacksCloud();
  return new GatewayError('forbidden', 'this model is not among those that the caller may use');
}

export function lacksCloud(): GatewayError {
  return new GatewayError('forbidden', 'this model runs at ollama.com, which the profile of the caller does not allow');
}

/** A client that lives longer than a request: its list of models is taken apart once. */
export function lastingClient(id: ClientId, grant: Grant): Client {
  return grant.models === undefined ? { id, grant } : { id, grant, lists: modelFilter(grant.models) };
}

/** Whether every model may be used, so that lists need not be looked through. */
export function mayUseAllModels({ cloud, models }: Grant): boolean {
  return cloud && models === undefined;
}

export function hasScope({ scopes }: Grant, scope: Scope): boolean {
  return scopes.includes(scope);
}

/** Throws `forbidden` unless the grant has the scope. */
export function demandScope(grant: Grant, scope: Scope): void {
  if (!hasScope(grant, scope)) throw lacksScope(scope);
}

export function lacksScope(scope: Scope): GatewayError {
  return new GatewayError(
    'forbidden',
    `this needs the scope \`${scope}\`, which the profile of the caller does not have`,
  );
}

/**
 * A list that allows only what both lists do. A pattern of the narrower one stays when one of the wider covers all that it could
 * match; a pattern that is only partly covered goes, so that the result never allows too much.
 */
export function narrowModels(wide: readonly string[] | undefined, narrow: readonly string[]): string[] {
  if (wide === undefined) return [...narrow];
  const covers = modelFilter(wide);
  // Read as a name, a `*` is covered by a `*` only, once those patterns are left out whose `?` would take it for one character.
  const coversStars = modelFilter(wide.filter((pattern) => !pattern.includes('?')));
  return narrow.filter((pattern) => {
    if (pattern.includes('*')) return coversStars(pattern.toLowerCase());
    return covers(pattern.includes('?') ? pattern.toLowerCase() : (canonicalModelName(pattern) ?? pattern));
  });
}
