/** How long a backend may take, phase by phase, and for which models otherwise. */
import { Type, type Static } from 'typebox';
import type { CallTimeouts } from '../backends/client.ts';
import { modelFilter } from '../core/backend.ts';
import { Duration } from '../core/options.ts';
import type { ModelName } from '../core/types.ts';

const phases = {
  connect: 'Until a backend has accepted the connection.',
  firstByte:
    "Until a backend's first byte, when the model may have to be loaded. Long, because Ollama is silent until the first " +
    'token; when it passes, that does not count against the backend.',
  firstByteWarm: 'The same when the model is known to be in memory there; when it passes, that counts as a failure.',
  idle: 'Between two pieces of an answer.',
  total: 'For one attempt, all told.',
};

const usual = {
  connect: Duration({ description: phases.connect, default: '2s', minimum: '1ms' }),
  firstByte: Duration({ description: phases.firstByte, default: '600s' }),
  firstByteWarm: Duration({ description: phases.firstByteWarm, default: '5m' }),
  idle: Duration({ description: phases.idle, default: '120s' }),
  total: Duration({ description: phases.total, default: 0 }),
};

const exceptional = {
  connect: Type.Optional(Duration({ description: phases.connect, minimum: '1ms' })),
  firstByte: Type.Optional(Duration({ description: phases.firstByte })),
  firstByteWarm: Type.Optional(Duration({ description: phases.firstByteWarm })),
  idle: Type.Optional(Duration({ description: phases.idle })),
  total: Type.Optional(Duration({ description: phases.total })),
};

export const TimeoutOptions = Type.Object(
  {
    ...usual,
    models: Type.Array(
      Type.Object(
        {
          match: Type.Array(Type.String({ minLength: 1 }), {
            description: 'The models this is for: names, or patterns with `*` and `?`.',
            minItems: 1,
          }),
          ...exceptional,
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
  const other = pair(options);
  return (model, warm) => {
    const rule = model === null ? undefined : rules.find(({ applies }) => applies(model));
    return (rule?.both ?? other)[warm ? 'warm' : 'cold'];
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
