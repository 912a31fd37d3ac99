/** What others do: the balancers a fleet of Ollamas usually gets, and what an attentive script would do. */
import type { Millis } from '../../src/core/types.ts';
import { choose } from './luck.ts';
import type { Answered, Ask, Router, SimulatedBackend, World } from './world.ts';

export interface Baseline {
  readonly summary: string;
  readonly create: (world: World) => Router;
}

export const baselines: Readonly<Record<string, Baseline>> = {
  'round-robin-blind': { summary: 'each backend in turn', create: roundRobin },
  'least-conn-blind': { summary: 'the fewest open requests (nginx least_conn)', create: early(leastBusy) },
  'p2c-blind': { summary: 'the less busy of two at random', create: early(powerOfTwo) },
  'peak-ewma-blind': { summary: "Finagle's latency x open requests", create: peakEwma },
  'central-queue-blind': { summary: 'one queue, released to free connections (HAProxy maxconn)', create: centralQueue },
  'hash-model': {
    summary: 'each model has one home; models are spread evenly over the homes',
    create: early(hashModel),
  },
  'loaded-least-conn': {
    summary: 'the least busy of the backends that have the model loaded or on its way, at once',
    create: early(loadedLeastBusy),
  },
  'session-sticky': { summary: 'a conversation stays where its first request was the least busy', create: sticky },
};

type Choice = (ask: Ask, world: World) => SimulatedBackend;

/** Early binding: a request goes out the moment it comes in. */
function early(choice: Choice): (world: World) => Router {
  return (world) => ({
    arrive: (ask) => world.forward(ask, choice(ask, world).index),
    answered: () => {},
  });
}

function leastOf(world: World, among: readonly SimulatedBackend[]): SimulatedBackend {
  const least = Math.min(...among.map(({ inFlight }) => inFlight));
  return choose(
    world.rng,
    among.filter(({ inFlight }) => inFlight === least),
  );
}

function leastBusy(_ask: Ask, world: World): SimulatedBackend {
  return leastOf(world, world.backends);
}

function powerOfTwo(_ask: Ask, world: World): SimulatedBackend {
  const one = choose(world.rng, world.backends);
  const other = choose(
    world.rng,
    world.backends.filter((backend) => backend !== one),
  );
  return leastOf(world, [one, other]);
}

/** What hashing names would give at its best: by rank, so that every backend is home to as many, hot and cold alike. */
function hashModel({ conversation }: Ask, world: World): SimulatedBackend {
  return world.backends[conversation.model % world.backends.length]!;
}

function loadedLeastBusy({ conversation }: Ask, world: World): SimulatedBackend {
  const { blob } = world.models[conversation.model]!;
  const loaded = world.backends.filter(
    ({ ollama, sent }) =>
      (sent.get(conversation.model) ?? 0) > 0 || ollama.resident().some(({ model }) => model.blob === blob),
  );
  return leastOf(world, loaded.length > 0 ? loaded : world.backends);
}

function roundRobin(world: World): Router {
  let next = 0;
  return {
    arrive: (ask) => world.forward(ask, next++ % world.backends.length),
    answered: () => {},
  };
}

function sticky(world: World): Router {
  const homes = new Map<number, number>();
  return {
    arrive(ask) {
      const home = homes.get(ask.conversation.id) ?? leastBusy(ask, world).index;
      homes.set(ask.conversation.id, home);
      world.forward(ask, home);
    },
    answered: () => {},
  };
}

/** Latency is averaged over some 10 s, jumps up at once and decays; a backend costs latency x (open requests + 1). */
function peakEwma(world: World): Router {
  const decayMs = 10_000;
  const state = world.backends.map(() => ({ ewma: 0, at: world.loop.now() }));
  const sentAt = new Map<number, Millis>();
  const decayed = (index: number): number => {
    const { ewma, at } = state[index]!;
    return ewma * Math.exp((at - world.loop.now()) / decayMs);
  };
  return {
    arrive(ask) {
      const costs = world.backends.map(({ index, inFlight }) => (decayed(index) + 1) * (inFlight + 1));
      const least = Math.min(...costs);
      const target = choose(
        world.rng,
        world.backends.filter(({ index }) => costs[index] === least),
      );
      sentAt.set(ask.id, world.loop.now());
      world.forward(ask, target.index);
    },
    answered({ ask, backend }) {
      const now = world.loop.now();
      const latency = now - sentAt.get(ask.id)!;
      sentAt.delete(ask.id);
      const weight = Math.exp((state[backend]!.at - now) / decayMs);
      const { ewma } = state[backend]!;
      state[backend] = { ewma: latency > ewma ? latency : ewma * weight + latency * (1 - weight), at: now };
    },
  };
}

/** Late binding without knowledge: a connection is free while a backend has fewer open requests than slots over its places. */
function centralQueue(world: World): Router {
  const queue: Ask[] = [];
  const limit = world.of.slots * world.of.places;
  const release = (): void => {
    while (queue.length > 0) {
      const free = world.backends.filter(({ inFlight }) => inFlight < limit);
      if (free.length === 0) return;
      world.forward(queue.shift()!, leastOf(world, free).index);
    }
  };
  return {
    arrive(ask) {
      queue.push(ask);
      release();
    },
    answered: (_answer: Answered) => release(),
  };
}
