/**
 * Prompts that a runner has seen: whole conversations, the least recently used forgotten first, as llama-server does. The
 * simulator's Ollamas remember with it; the router guesses with it what they remember.
 */
import type { PrefixMark } from './types.ts';

export interface PrefixCache {
  /** Tokens of the longest remembered prefix of a prompt; 0 when there is none. */
  peek(owner: string, marks: readonly PrefixMark[]): number;
  /** As `peek`, and the prompt becomes the most recently used. */
  lookup(owner: string, marks: readonly PrefixMark[]): number;
  /** Remembers a prompt. One that continues a remembered prompt takes its place; another stands beside it. */
  store(owner: string, marks: readonly PrefixMark[]): void;
  /** Forgets everything of an owner, as the end of its process does. */
  drop(owner: string): void;
  /** Remembered prompts. */
  size(): number;
}

interface Entry {
  readonly owner: string;
  readonly marks: readonly PrefixMark[];
}

/**
 * A cache of at most `capacity` prompts over all owners (runners). A prompt is the list of its message boundaries, shortest
 * first; two prompts share a prefix when they share a boundary's hash.
 */
export function createPrefixCache(capacity: number): PrefixCache {
  /** In order of use: the first is forgotten first. */
  const entries = new Set<Entry>();
  /** Per owner: hash of a boundary → the prompts that have it, with the tokens up to it. */
  const byOwner = new Map<string, Map<string, Map<Entry, number>>>();

  function forget(entry: Entry): void {
    if (!entries.delete(entry)) return;
    const index = byOwner.get(entry.owner);
    for (const mark of entry.marks) {
      const holders = index?.get(mark.hash);
      holders?.delete(entry);
      if (holders?.size === 0) index?.delete(mark.hash);
    }
  }

  function find(owner: string, marks: readonly PrefixMark[]): { entry: Entry; hash: string; tokens: number } | null {
    const index = byOwner.get(owner);
    if (index === undefined) return null;
    for (let deepest = marks.length - 1; deepest >= 0; deepest -= 1) {
      const { hash } = marks[deepest]!;
      for (const [entry, tokens] of index.get(hash) ?? []) return { entry, hash, tokens };
    }
    return null;
  }

  /** A remembered prompt that is whole at that boundary. */
  function endingWith(owner: string, hash: string | undefined): Entry | null {
    if (hash === undefined) return null;
    for (const entry of byOwner.get(owner)?.get(hash)?.keys() ?? []) {
      if (entry.marks.at(-1)?.hash === hash) return entry;
    }
    return null;
  }

  return {
    peek: (owner, marks) => find(owner, marks)?.tokens ?? 0,

    lookup(owner, marks) {
      const found = find(owner, marks);
      if (found === null) return 0;
      entries.delete(found.entry);
      entries.add(found.entry);
      return found.tokens;
    },

    store(owner, marks) {
      if (marks.length === 0 || capacity < 1) return;
      const continued = endingWith(owner, find(owner, marks)?.hash);
      if (continued !== null) forget(continued);
      const entry: Entry = { owner, marks };
      entries.add(entry);
      const index = byOwner.get(owner) ?? new Map<string, Map<Entry, number>>();
      byOwner.set(owner, index);
      for (const mark of marks) {
        const holders = index.get(mark.hash);
        if (holders === undefined) index.set(mark.hash, new Map([[entry, mark.tokens]]));
        else holders.set(entry, mark.tokens);
      }
      for (const oldest of entries) {
        if (entries.size <= capacity) break;
        forget(oldest);
      }
    },

    drop(owner) {
      byOwner.delete(owner);
      for (const entry of entries) if (entry.owner === owner) entries.delete(entry);
    },

    size: () => entries.size,
  };
}
