/** How a configuration names a policy, and the policy it names. Both follow from the list. */
import { Type, type TSchema } from 'typebox';
import type { Rng } from '../types.ts';
import { policies } from './index.ts';
import type { Policy, PolicyDefinition } from './policy.ts';

export type PolicyName = keyof typeof policies;

export const policyNames = Object.keys(policies) as readonly PolicyName[];

export const defaultPolicy: PolicyName = 'soonest';

/** `soonest`, or `{name: power-of-two, choices: 3}`. Options that are left out have their defaults. */
export type PolicyOptions = PolicyName | { readonly name: PolicyName; readonly [option: string]: unknown };

export const PolicyOptions = Type.Unsafe<PolicyOptions>(
  Type.Union([Type.Enum([...policyNames]), ...policyNames.map(optionsOf)], {
    description: 'How a backend is chosen among those that may serve a request: a name, or `{name, …options}`.',
    default: defaultPolicy,
  }),
);

export function policyName(choice: PolicyOptions): PolicyName {
  return typeof choice === 'string' ? choice : choice.name;
}

/** The options have passed the schema. */
export function createPolicy(choice: PolicyOptions, rng: Rng): Policy {
  const { name, ...given } = typeof choice === 'string' ? { name: choice } : choice;
  const definition: PolicyDefinition = policies[name];
  return definition.create({ ...defaultsOf(definition), ...given }, rng);
}

function optionsOf(name: PolicyName): TSchema {
  const { options, summary }: PolicyDefinition = policies[name];
  return Type.Object(
    { name: Type.Literal(name), ...partial(options.properties) },
    { additionalProperties: false, description: summary },
  );
}

/** Validators do not fill in defaults inside a union, so that every option may be absent and `createPolicy` fills it in. */
function partial(properties: Readonly<Record<string, TSchema>>): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, Type.Optional(schema)]));
}

function defaultsOf({ options }: PolicyDefinition): Record<string, unknown> {
  const defaults: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(options.properties)) {
    if ('default' in schema) defaults[key] = schema.default;
  }
  return defaults;
}
