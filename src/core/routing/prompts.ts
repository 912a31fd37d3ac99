/** Which runners are thought to remember which prompts, asked for by prompt: one look per message boundary, however many runners. */
import type { PrefixMark } from '../types.ts';
import type { BackendState, RunnerState } from './knowledge.ts';

/** One remembered prompt. */
interface Prompt {
  readonly runner: RunnerState;
  readonly marks: readonly PrefixMark[];
}

/** What one backend is thought to remember. */
interface Memory {
  /** Least recently used first. */
  readonly prompts: Set<Prompt>;
  latest: Prompt | null;
}

/** What a runner has of one boundary. */
interface Holding {
  readonly tokens: number;
  readonly prompts: Set<Prompt>;
}

/**
 * Each backend is thought to remember so many prompts over all its runners, the least recently used forgotten first, as llama-server
 * does. A prompt that continues a remembered one takes its place.
 */
export class Prompts {
  readonly #perBackend: number;
  readonly #byBackend = new Map<BackendState, Memory>();
  readonly #holders = new Map<string, Map<RunnerState, Holding>>();

  constructor(perBackend: number) {
    this.#perBackend = perBackend;
  }

  /** Tokens of the longest prefix each runner remembers; runners that remember none are absent. */
  remembered(marks: readonly PrefixMark[]): ReadonlyMap<RunnerState, number> {
    if (marks.length === 0) return nothing;
    const tokens = new Map<RunnerState, number>();
    for (let deepest = marks.length - 1; deepest >= 0; deepest -= 1) {
      const holders = this.#holders.get(marks[deepest]!.hash);
      if (holders === undefined) continue;
      for (const [runner, holding] of holders) if (!tokens.has(runner)) tokens.set(runner, holding.tokens);
    }
    return tokens;
  }

  /** The runner has got this prompt. */
  add(runner: RunnerState, marks: readonly PrefixMark[]): void {
    if (marks.length === 0 || this.#perBackend < 1) return;
    let memory = this.#byBackend.get(runner.backend);
    if (memory === undefined) {
      memory = { prompts: new Set(), latest: null };
      this.#byBackend.set(runner.backend, memory);
    }
    const continued = this.#continued(runner, marks);
    // The same prompt once more: it is where it belongs.
    if (continued !== null && continued === memory.latest && continued.marks.length === marks.length) return;
    if (continued !== null) this.#forget(continued);
    const prompt: Prompt = { runner, marks };
    for (const { hash, tokens } of marks) this.#hold(prompt, hash, tokens);
    const { prompts } = memory;
    prompts.add(prompt);
    memory.latest = prompt;
    for (const oldest of prompts) {
      if (prompts.size <= this.#perBackend) break;
      this.#forget(oldest);
    }
  }

  /** The runner is no longer in memory. */
  drop(runner: RunnerState): void {
    for (const prompt of this.#byBackend.get(runner.backend)?.prompts ?? [])
      if (prompt.runner === runner) this.#forget(prompt);
  }

  /** The remembered prompt that this one begins with, whole. */
  #continued(runner: RunnerState, marks: readonly PrefixMark[]): Prompt | null {
    for (let deepest = marks.length - 1; deepest >= 0; deepest -= 1) {
      const { hash } = marks[deepest]!;
      const holding = this.#holders.get(hash)?.get(runner);
      if (holding === undefined) continue;
      for (const prompt of holding.prompts) if (prompt.marks.at(-1)?.hash === hash) return prompt;
      return null;
    }
    return null;
  }

  #hold(prompt: Prompt, hash: string, tokens: number): void {
    let holders = this.#holders.get(hash);
    if (holders === undefined) {
      holders = new Map();
      this.#holders.set(hash, holders);
    }
    const holding = holders.get(prompt.runner);
    if (holding === undefined) holders.set(prompt.runner, { tokens, prompts: new Set([prompt]) });
    else holding.prompts.add(prompt);
  }

  #forget(prompt: Prompt): void {
    this.#byBackend.get(prompt.runner.backend)?.prompts.delete(prompt);
    for (const { hash } of prompt.marks) {
      const holders = this.#holders.get(hash);
      const holding = holders?.get(prompt.runner);
      holding?.prompts.delete(prompt);
      if (holding?.prompts.size !== 0) continue;
      holders?.delete(prompt.runner);
      if (holders?.size === 0) this.#holders.delete(hash);
    }
  }
}

const nothing: ReadonlyMap<RunnerState, number> = new Map();
