/** How long a backend may take, phase by phase, and for which models otherwise. */
import { Type, type Static, type TObject, type TProperties } from 'typebox';
import type { CallTimeouts } from '../backends/client.ts';
import { modelFilter } from '../core/backend.ts';
import { Duration } from '../core/options.ts';
import type { ModelName } from '../core/types.ts';

const limits = {
  connect: Duration({ description: 'Until a backend has accepted the connection.', default: '2s', minimum: '1ms' }),
  firstByte: Duration({
    description:
      "Until a backend's first byte, when the model may have to be loaded. Long, because Ollama is silent until the first " +
      'token; when it passes, that does not count against the backend.',
    default: '600s',
  }),
  firstByteWarm: Duration({
    description: 'The same when the model is known to be in memory there; when it passes, that counts as a failure.',
    default: '5m',
  }),
  idle: Duration({ description: 'Between two pieces of an answer.', default: '120s' }),
  total: Duration({ description: 'For one attempt, all told.', default: 0 }),
};

export const TimeoutOptions = Type.Object(
  {
    ...limits,
    models: Type.Array(
      Type.Object(
        {
          match: Type.Array(Type.String({ minLength: 1 }), {
            description: 'The models this is for: names, or patterns with `*` and `?`.',
            minItems: 1,
          }),
          ...optional(limits),
        },
        {
          additionalProperties: false,
          description: 'Other times for some models; the first entry that matches counts.',
        },
      ),
      { description: 'Other times for some models; what an entry leaves out stays as above.', default: [] },
    ),
  },
  { additionalProperties: false, description: 'How long a backend may take. 0 means no limit.' },
);
export type TimeoutOptions = Static<typeof TimeoutOptions>;

/** (model, warm) → the timers of one attempt. */
export type TimeoutsFor = (model: ModelName | null, warm: boolean) => CallTimeouts;

export function timeoutsFor(options: TimeoutOptions): TimeoutsFor {
  const rules = options.models.map(({ match, ...times }) => ({
    applies: modelFilter(match),
    both: pair({ ...options, ...times }),
  }));
  const usual = pair(options);
  return (model, warm) => {
    const rule = model === null ? undefined : rules.find(({ applies }) => applies(model));
    return (rule?.both ?? usual)[warm ? 'warm' : 'cold'];
  };
}

function pair({
  connect,
  firstByte,
  firstByteWarm,
  idle,
  total,
}: Omit<TimeoutOptions, 'models'>): Record<'warm' | 'cold', CallTimeouts> {
  return { cold: { connect, firstByte, idle, total }, warm: { connect, firstByte: firstByteWarm, idle, total } };
}

function optional<T extends TProperties>(properties: T) {
  const object: TObject<T> = Type.Object(properties);
  const { properties: all } = Type.Partial(object);
  // A default in a rule would override what the rule leaves out.
  const bare = Object.entries(all).map(([name, schema]) => {
    const { default: usual, ...rest } = schema as typeof schema & { default?: unknown };
    return [name, usual === undefined ? schema : Type.Optional(Type.Unsafe<number>(rest))] as const;
  });
  return Object.fromEntries(bare) as { [K in keyof T]: ReturnType<typeof Type.Optional<ReturnType<typeof Duration>>> };
}
