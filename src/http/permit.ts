/** Whether a request may be about the models it names: asked once it has been read, and before anything is done for it. */
import type { Catalogue } from '../core/catalogue.ts';
import { GatewayError } from '../core/errors.ts';
import type { Client } from '../core/grants.ts';
import { canonicalModelName, isCloudModel } from '../core/model-name.ts';
import { demandModel, demandModels, lacksCloud, mayUseAllModels, mayUseModel } from '../core/permission.ts';
import type { ModelName } from '../core/types.ts';
import type { Reading } from '../dialects/dialect.ts';

/** Whether a backend has the model only as a name for one of ollama.com's. */
export type IsRemote = (model: ModelName) => boolean;

export function remoteModels(catalogue: Pick<Catalogue, 'find'>): IsRemote {
  return (model) => {
    const remote = catalogue.find(model)?.entry.raw['remote_host'];
    return typeof remote === 'string' && remote !== '';
  };
}

/**
 * `asked` is what the client wrote, `runs` what the operator's rules made of it. Throws `forbidden`, or `unknown-model` when the
 * client is held to a list and what it names can't be told.
 */
export function permitRun(client: Client, asked: Reading, runs: Reading, isRemote: IsRemote): void {
  const { grant } = client;
  if (mayUseAllModels(grant)) return;
  if (asked.model === null || runs.model === null) {
    if (grant.models !== undefined) throw new GatewayError('unknown-model', 'no model was named');
    return;
  }
  demandModels(client, asked.model, runs.model);
  if (!grant.cloud && isRemote(runs.model)) throw lacksCloud();
}

/** For what changes models: every name counts, those it makes and those it makes them from. */
export function permitChange(client: Client, { model, others }: Reading): void {
  if (mayUseAllModels(client.grant)) return;
  const names = [model, ...Object.values(others).map((text) => canonicalModelName(text))];
  for (const name of names) if (name !== null) demandModel(client, name);
}

/** Whether the client sees a name in lists, which is that of the model `runs`, or another name for it. */
export function maySee(client: Client, name: ModelName, runs: ModelName, isRemote: IsRemote): boolean {
  if (!client.grant.cloud && (isCloudModel(runs) || isRemote(runs))) return false;
  return mayUseModel(client, name) || mayUseModel(client, runs);
}
