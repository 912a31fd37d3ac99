/**
 * What a grant lets a request ask for: which wishes are lowered, which are left out, and which are refused. Nothing of this
 * applies to a grant that limits nothing.
 */
import { GatewayError } from './errors.ts';
import type { Grant } from './grants.ts';
import { mayUseAllModels } from './permission.ts';
import type { Millis } from './types.ts';

/** Things a request may ask for that a grant may deny. */
export type Feature =
  | 'load'
  | 'unload'
  /** `keep_alive` below zero: the model stays for ever. */
  | 'pin'
  /** Some option that shapes the runner, and so may reload the model. */
  | 'runner-options'
  | 'raw'
  | 'template'
  | 'system'
  | 'suffix'
  | 'context'
  | 'debug-render'
  | 'tools'
  | 'format'
  | 'images';

/** What a request asks for that costs more, or opens a side door. */
export interface Wishes {
  readonly features: ReadonlySet<Feature>;
  /** Names of the stated options that shape the runner. */
  readonly runnerOptions: readonly string[];
  readonly contextLength: number | null;
  /**
   * Every field in which the route takes a limit on output, the one that always counts first; null where it is not stated, zero
   * or less where it says that there is none. Empty where nothing is generated.
   */
  readonly outputLimits: ReadonlyMap<string, number | null>;
  readonly keepAliveMs: Millis | null;
  readonly images: number;
  /** Texts to embed. */
  readonly inputs: number;
}

/** What is written into the request instead; absent what stays as it is. */
export interface Lowered {
  /** Members of `options`; null takes one away. */
  readonly options?: Readonly<Record<string, number | null>>;
  /** Members of the body itself. */
  readonly members?: Readonly<Record<string, number | null>>;
  readonly keepAliveMs?: Millis;
}

/** Whether the grant limits which models a request may name. */
export function limitsModels(grant: Grant): boolean {
  return !mayUseAllModels(grant);
}

/** Whether it limits anything else that a request can ask for. */
export function limitsWishes(grant: Grant): boolean {
  const { contextLength, images, inputs, keepAlive, maxOutputTokens, tokensPerDay, tokensPerMinute } = grant;
  const isCapped = (contextLength ?? images ?? inputs ?? keepAlive ?? maxOutputTokens) !== undefined;
  return isCapped || (tokensPerDay ?? tokensPerMinute) !== undefined || !grant.raw || !grant.control;
}

const MODEL_FIELDS = ['model', 'name', 'source', 'destination', 'from'];
const OUTPUT_FIELDS = ['options', 'max_tokens', 'max_completion_tokens', 'max_output_tokens'];

/** The fields of a body that something in the grant rests on. A body that states one of them in two ways is refused. */
export function watchedFields(grant: Grant): readonly string[] {
  const { contextLength, images, inputs, keepAlive, maxOutputTokens, tokensPerDay, tokensPerMinute } = grant;
  return [
    ...(limitsModels(grant) ? MODEL_FIELDS : []),
    ...((maxOutputTokens ?? tokensPerDay ?? tokensPerMinute) === undefined ? [] : OUTPUT_FIELDS),
    ...(contextLength === undefined ? [] : ['options']),
    ...(keepAlive === undefined ? [] : ['keep_alive']),
    ...(images === undefined ? [] : ['images', 'messages', 'input']),
    ...(inputs === undefined ? [] : ['input']),
    ...(grant.raw ? [] : ['raw', 'template', 'suffix', 'context', '_debug_render_only']),
    ...(grant.control ? [] : ['prompt', 'messages', 'input', 'keep_alive', 'options', 'shift']),
  ];
}

/** Throws GatewayError `forbidden` for what is denied; null when the request may go as it is. */
export function lower(wishes: Wishes, grant: Grant): Lowered | null {
  refuse(wishes, grant);
  const options = { ...freedOptions(wishes, grant), ...contextLimit(wishes, grant) };
  const members: Record<string, number | null> = {};
  for (const [name, limit] of outputLimits(wishes, grant)) (name === 'num_predict' ? options : members)[name] = limit;
  if (!grant.control && wishes.runnerOptions.includes('shift')) members['shift'] = null;
  const { keepAliveMs } = wishes;
  if (keepAliveMs !== null && !grant.control) members['keep_alive'] = null;
  const isLong =
    grant.control && keepAliveMs !== null && grant.keepAlive !== undefined && keepAliveMs > grant.keepAlive;
  const lowered: Lowered = {
    ...(Object.keys(options).length > 0 && { options }),
    ...(Object.keys(members).length > 0 && { members }),
    ...(isLong && { keepAliveMs: grant.keepAlive! }),
  };
  return Object.keys(lowered).length === 0 ? null : lowered;
}

const ROUND_THE_TEMPLATE: readonly (readonly [Feature, string])[] = [
  ['raw', 'raw'],
  ['template', 'template'],
  ['suffix', 'suffix'],
  ['context', 'context'],
  ['debug-render', '_debug_render_only'],
];

function refuse({ features, images, inputs }: Wishes, grant: Grant): void {
  const round = grant.raw ? undefined : ROUND_THE_TEMPLATE.find(([feature]) => features.has(feature));
  if (round !== undefined) throw new GatewayError('forbidden', `your profile does not allow \`${round[1]}\` (\`raw\`)`);
  if (!grant.control && (features.has('load') || features.has('unload'))) {
    throw new GatewayError('forbidden', 'your profile does not allow to load or unload a model (`control`)');
  }
  if (grant.images !== undefined && images > grant.images) {
    throw new GatewayError('forbidden', `your profile allows ${grant.images} images in a request (\`images\`)`);
  }
  if (grant.inputs !== undefined && inputs > grant.inputs) {
    throw new GatewayError('forbidden', `your profile allows ${grant.inputs} texts in a request (\`inputs\`)`);
  }
}

/** Takes away the options that would load the model anew; a context may be chosen where it has a limit of its own. */
function freedOptions({ runnerOptions }: Wishes, { contextLength, control }: Grant): Record<string, number | null> {
  if (control) return {};
  const taken = runnerOptions.filter(
    (name) => name !== 'shift' && !(name === 'num_ctx' && contextLength !== undefined),
  );
  return Object.fromEntries(taken.map((name) => [name, null]));
}

function contextLimit({ contextLength: stated }: Wishes, { contextLength }: Grant): Record<string, number> {
  return contextLength !== undefined && stated !== null && stated > contextLength ? { num_ctx: contextLength } : {};
}

function outputLimits(wishes: Wishes, { maxOutputTokens: most }: Grant): (readonly [string, number])[] {
  if (most === undefined) return [];
  const isTooMuch = (stated: number | null, index: number) =>
    stated === null ? index === 0 : stated <= 0 || stated > most;
  return [...wishes.outputLimits]
    .filter(([, stated], i) => isTooMuch(stated, i))
    .map(([name]) => [name, most] as const);
}
