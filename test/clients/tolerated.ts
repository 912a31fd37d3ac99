/** The only ways in which what a client sees through the gateway may differ from what it sees of an Ollama: better ones. */
import { differences } from './compare.ts';
import type { Observation } from './client.ts';

export interface Tolerance {
  /** Stands behind the mark in the table. */
  readonly footnote: string;
  readonly why: string;
  readonly covers: (direct: Observation, gateway: Observation) => boolean;
}

/** One has the events of the other, or only the first of them: a connection that dies may take the last ones along. */
function agreeSoFar({ saw: direct }: Observation, { saw: gateway }: Observation): boolean {
  const shared = Math.min(direct.length, gateway.length);
  return differences(direct.slice(0, shared), gateway.slice(0, shared)).length === 0;
}

/** Names the backend that failed, or says that none is left. */
const saysWhy = /\bbackend sim-\d |\bno backend that could serve the request is up\b/u;

export const tolerances = {
  told: {
    footnote: 'a',
    why:
      'Both raise. Of an Ollama the client only notices that the connection broke or was refused; the gateway says in the ' +
      "client's own API which backend failed and how.",
    covers: (direct, gateway) =>
      direct.raised !== null && saysWhy.test(gateway.raised?.message ?? '') && agreeSoFar(direct, gateway),
  },
  raised: {
    footnote: 'b',
    why:
      'Only the gateway makes it raise. The stream of an Ollama that fails in the middle ends there without a word, and the ' +
      'client takes half an answer for the whole.',
    covers: (direct, gateway) =>
      direct.raised === null &&
      saysWhy.test(gateway.raised?.message ?? '') &&
      differences(direct.saw, gateway.saw).length === 0,
  },
  ended: {
    footnote: 'c',
    why: 'Not asked of an Ollama, which would never answer; the gateway gives up after its time limit, and the client raises.',
    covers: (_direct, gateway) => saysWhy.test(gateway.raised?.message ?? ''),
  },
  torn: {
    footnote: 'd',
    why:
      'Both raise, with other words: the connection broke inside an event, and the client trips over the half of it before it ' +
      'comes to what the gateway says.',
    covers: (direct, gateway) => direct.raised !== null && gateway.raised !== null && agreeSoFar(direct, gateway),
  },
} as const satisfies Record<string, Tolerance>;
