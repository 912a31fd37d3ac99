/** Where requests wait: how many, how long, and in what order. */
import { Type, type Static } from 'typebox';
import { Duration } from './options.ts';

export const SchedulerOptions = Type.Object(
  {
    limit: Type.Integer({
      description: 'Requests that may wait for a slot at once; the next is refused with 503.',
      minimum: 0,
      maximum: 1_000_000,
      default: 1000,
    }),
    timeout: Duration({
      description:
        'How long a request may wait for a slot before it is refused with 503. Ollama itself would let it wait for ever.',
      default: '2m',
      minimum: 0,
    }),
    refuseEarly: Type.Boolean({
      description:
        'Refuse a request at once when it would probably have to wait longer than `timeout`, told from how fast the queue ' +
        'has been moving, instead of letting it wait in vain.',
      default: true,
    }),
    ageing: Duration({
      description:
        'How long a band may be passed over while requests of bands before it go; then one of its requests goes first. Less ' +
        'than `timeout`, or bands behind a busy one get nothing at all.',
      default: '30s',
      minimum: 0,
    }),
    waitForBackend: Type.Boolean({
      description:
        'While every backend that could serve a request is down, let it wait up to `timeout` for one to come back, ' +
        'instead of refusing it at once.',
      default: true,
    }),
  },
  { additionalProperties: false, description: 'Where requests wait while every slot is taken.' },
);
export type SchedulerOptions = Static<typeof SchedulerOptions>;
