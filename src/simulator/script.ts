/** What a test wants said instead of the composed text. */
import type { DoneReason, ToolCall } from './speech.ts';

export interface Script {
  /** Whole text, cut into tokens like any other; or the tokens themselves. */
  readonly content?: string | readonly string[];
  readonly thinking?: string | readonly string[];
  readonly toolCalls?: readonly Pick<ToolCall, 'name' | 'arguments'>[];
  readonly reason?: DoneReason;
  /** What the answer says the prompt took. */
  readonly promptTokens?: number;
  /** Only for this model, in any spelling. */
  readonly model?: string;
  /** How many requests it serves; 1 when left out. */
  readonly times?: number;
}

export interface ScriptBook {
  add(script: Script): void;
  clear(): void;
  list(): readonly Script[];
  /** The first script that is for the model, which is then used up by one; null when there is none. */
  take(isFor: (model: string) => boolean): Script | null;
}

export function createScriptBook(): ScriptBook {
  let scripts: { readonly script: Script; left: number }[] = [];
  return {
    add: (script) => void scripts.push({ script, left: script.times ?? 1 }),
    clear: () => {
      scripts = [];
    },
    list: () => scripts.map(({ script, left }) => ({ ...script, times: left })),
    take(isFor) {
      const entry = scripts.find(({ script }) => script.model === undefined || isFor(script.model));
      if (entry === undefined) return null;
      entry.left--;
      if (entry.left <= 0) scripts = scripts.filter((other) => other !== entry);
      return entry.script;
    },
  };
}
