import { Type } from 'typebox';
import { Duration } from '../options.ts';
import { Soonest } from '../routing/soonest.ts';
import { definePolicy } from './policy.ts';

export const soonest = definePolicy({
  summary:
    'Where the first token is predicted soonest: wait for a slot, load, eviction and the part of the prompt that is not ' +
    'cached, all in seconds and learnt. Holds a request rather than sending it to the wrong backend, and loads models itself.',
  options: Type.Object(
    {
      patience: Duration({
        description:
          'How long a request waits for a model that others keep out of memory before it is loaded in any case, as soon as ' +
          'a backend has been drained for it. At least the time of three loads; less when it would give up before.',
        default: 45_000,
        minimum: '1s',
      }),
      headroom: Type.Number({
        description:
          'The part of a model’s slots, rounded down, that is kept for a moment from a client that has most of them, while ' +
          'others come now and then, or from a band while bands before it do. 0 keeps none.',
        default: 0.0625,
        minimum: 0,
        maximum: 0.5,
      }),
      prompts: Type.Integer({
        description:
          'Conversations a backend is thought to have cached, the least recently used forgotten first. Ollama keeps them in ' +
          'some 8 GiB of memory.',
        minimum: 0,
        maximum: 10_000,
        default: 100,
      }),
      decisions: Type.Integer({
        description: 'Decisions that are remembered, with what was weighed, to be asked for.',
        minimum: 1,
        maximum: 100_000,
        default: 256,
      }),
    },
    { additionalProperties: false },
  ),
  create: (options, rng) => new Soonest(options, rng),
});
