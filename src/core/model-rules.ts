/**
 * What the operator wants of models by name: other names for them, substitutes while they can't be had, and bounds on what
 * requests may ask of them. Pure; every rule changes the bytes of the requests it applies to, and none is on by default.
 */
import { Type, type Static } from 'typebox';
import { modelFilter } from './backend.ts';
import { canonicalModelName } from './model-name.ts';
import { Duration } from './options.ts';
import { RequiredOptions } from './required.ts';
import type { Millis, ModelName } from './types.ts';

export const ModelRulesOptions = Type.Object(
  {
    aliases: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
      description:
        'Other names for models, e.g. `{gpt-4o: "llama3.3:70b"}`. A request for the one runs the other; lists show both. An ' +
        'alias wins over a model of that name.',
      default: {},
    }),
    required: RequiredOptions,
    rules: Type.Array(
      Type.Object(
        {
          match: Type.Array(Type.String({ minLength: 1 }), {
            description: 'The models this is for: names, or patterns with `*` and `?`.',
            minItems: 1,
          }),
          numCtx: Type.Optional(
            Type.Integer({
              description:
                'The context every native request gets, whatever it asks for: requests with different ones would reload the model ' +
                'for each other. Requests under /v1 cannot state one.',
              minimum: 1,
            }),
          ),
          maxNumCtx: Type.Optional(
            Type.Integer({
              description: 'The largest context a request may ask for; more is lowered to it.',
              minimum: 1,
            }),
          ),
          maxKeepAlive: Type.Optional(
            Duration({
              description:
                'The longest a request may have the model kept in memory; more, or for ever, is lowered to it.',
              minimum: '1s',
            }),
          ),
          fallback: Type.Optional(
            Type.Array(Type.String({ minLength: 1 }), {
              description:
                'Models that answer instead, the first that can be had, while no backend that is up has this one.',
              minItems: 1,
            }),
          ),
        },
        {
          additionalProperties: false,
          description: 'What holds for some models; the first entry that matches counts.',
        },
      ),
      { description: 'What holds for some models.', default: [] },
    ),
  },
  { additionalProperties: false, description: 'Names for models, and bounds on what requests may ask of them.' },
);
export type ModelRulesOptions = Static<typeof ModelRulesOptions>;

/** What a request says that rules may change. */
export interface Wish {
  readonly model: ModelName;
  /** As asked for; null when it is not. */
  readonly numCtx: number | null;
  readonly keepAliveMs: Millis | null;
  /** Whether the request's API can carry options (Ollama's own can, /v1 can't). */
  readonly carriesOptions: boolean;
}

/** What is written into the request instead; absent what stays. */
export interface Ruling {
  /** As the backends know it. */
  readonly model?: string;
  readonly numCtx?: number;
  readonly keepAliveMs?: Millis;
}

/** `grant`: the client’s own limits, not a rule. */
export type RewriteKind = 'alias' | 'fallback' | 'num-ctx' | 'keep-alive' | 'grant';

export interface ModelRules {
  /** Null when nothing changes. `canServe` tells whether some backend that is up has the model. */
  rule(
    wish: Wish,
    canServe: (model: ModelName) => boolean,
  ): { readonly ruling: Ruling; readonly kinds: readonly RewriteKind[] } | null;
  /** Alias as the operator spelled it, and the canonical model it stands for. */
  readonly aliases: readonly { readonly alias: string; readonly model: ModelName }[];
}

export function createModelRules(options: Pick<ModelRulesOptions, 'aliases' | 'rules'>): ModelRules {
  const targets = new Map<ModelName, string>();
  for (const [alias, model] of Object.entries(options.aliases)) {
    const name = canonicalModelName(alias);
    if (name !== null) targets.set(name, model);
  }
  const rules = options.rules.map((rule) => ({ ...rule, applies: modelFilter(rule.match) }));
  const isEmpty = targets.size === 0 && rules.length === 0;

  function substitute(model: ModelName, canServe: (model: ModelName) => boolean): string | null {
    const fallback = rules.find(({ applies }) => applies(model))?.fallback ?? [];
    if (fallback.length === 0 || canServe(model)) return null;
    return fallback.find((text) => canServe(canonicalModelName(text) ?? text)) ?? null;
  }

  return {
    aliases: Object.entries(options.aliases).map(([alias, model]) => ({
      alias,
      model: canonicalModelName(model) ?? model,
    })),
    rule(wish, canServe) {
      if (isEmpty) return null;
      const kinds: RewriteKind[] = [];
      let text = targets.get(wish.model) ?? null;
      if (text !== null) kinds.push('alias');
      const aliased = text === null ? wish.model : (canonicalModelName(text) ?? text);
      const instead = substitute(aliased, canServe);
      if (instead !== null) {
        kinds.push('fallback');
        text = instead;
      }
      const model = instead === null ? aliased : (canonicalModelName(instead) ?? instead);
      const bounds = boundsFor(
        wish,
        rules.find(({ applies }) => applies(model)),
        kinds,
      );
      return kinds.length === 0 ? null : { ruling: { ...(text !== null && { model: text }), ...bounds }, kinds };
    },
  };
}

type Rule = ModelRulesOptions['rules'][number];

function boundsFor(
  { carriesOptions, keepAliveMs, numCtx }: Wish,
  rule: Rule | undefined,
  kinds: RewriteKind[],
): Ruling {
  if (rule === undefined || !carriesOptions) return {};
  const ruling: { numCtx?: number; keepAliveMs?: Millis } = {};
  const pinned =
    rule.numCtx ?? (rule.maxNumCtx !== undefined && numCtx !== null && numCtx > rule.maxNumCtx ? rule.maxNumCtx : null);
  if (pinned !== null && pinned !== numCtx) {
    ruling.numCtx = pinned;
    kinds.push('num-ctx');
  }
  if (rule.maxKeepAlive !== undefined && keepAliveMs !== null && keepAliveMs > rule.maxKeepAlive) {
    ruling.keepAliveMs = rule.maxKeepAlive;
    kinds.push('keep-alive');
  }
  return ruling;
}
