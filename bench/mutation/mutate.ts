/** Small changes to a source text, each of which a test should notice. Tokens only: comments, texts and types are left alone. */

import { stripTypeScriptTypes } from 'node:module';

export interface Mutant {
  /** The operator's name. */
  readonly operator: string;
  /** Offset in the text, and what stands there instead of what. */
  readonly at: number;
  readonly from: string;
  readonly to: string;
  /** From 1. */
  readonly line: number;
}

interface Operator {
  readonly name: string;
  /** Its match, or its group `was` where there is one, is what is replaced. */
  readonly pattern: RegExp;
  readonly to: (was: string) => string;
}

const comparisons: Readonly<Record<string, string>> = {
  '===': '!==',
  '!==': '===',
  '<=': '<',
  '>=': '>',
  '<': '<=',
  '>': '>=',
};
const arithmetic: Readonly<Record<string, string>> = { '+': '-', '-': '+', '*': '/', '/': '*', '+=': '-=', '-=': '+=' };

/** Binary operators have spaces around them, which brackets of types, arrows and signs have not. */
const operators: readonly Operator[] = [
  { name: 'comparison', pattern: /(?<= )(?:===|!==|<=|>=|<|>)(?= )/g, to: (was) => comparisons[was]! },
  { name: 'arithmetic', pattern: /(?<=[\w)\]] )(?:\+=|-=|\+|-|\*|\/)(?= [\w(])/g, to: (was) => arithmetic[was]! },
  { name: 'logic', pattern: /(?<= )(?:&&|\|\||\?\?)(?= )/g, to: (was) => (was === '&&' ? '||' : '&&') },
  { name: 'condition', pattern: /(?<=\b(?:if|while) \()(?!!?\()[^()]+(?=\) )/g, to: (was) => `!(${was})` },
  {
    name: 'boolean',
    pattern: /(?<=(?:[=(,?:] |return |\(|=> ))(?:true|false)\b(?! \|)/g,
    to: (was) => String(was === 'false'),
  },
  {
    name: 'statement',
    pattern: /(?<=\n *)[\w.#!?]+(?<!\b(?:return|super|assert))\([^\n;{}]*\);(?=\n)/g,
    to: () => ';',
  },
  { name: 'return', pattern: /(?<=\breturn )(?!null;|true;|false;)[^\n;{]+(?=;)/g, to: () => 'null as never' },
];

/** Every mutant of a text that is still a program, in the order of the operators. */
export function mutantsOf(text: string): readonly Mutant[] {
  const code = blanked(text);
  return operators
    .flatMap(({ name, pattern, to }) =>
      [...code.matchAll(pattern)].map(({ 0: found, index }) => {
        const from = text.slice(index, index + found.length);
        return { operator: name, at: index, from, to: to(from), line: text.slice(0, index).split('\n').length };
      }),
    )
    .filter((mutant) => isProgram(apply(text, mutant)));
}

/** One that is none would be noticed by every test, which says nothing of the tests. */
function isProgram(text: string): boolean {
  try {
    stripTypeScriptTypes(text);
    return true;
  } catch {
    return false;
  }
}

export function apply(text: string, { at, from, to }: Mutant): string {
  return text.slice(0, at) + to + text.slice(at + from.length);
}

/** As long as the text, with comments, literals, imports, schemas of options and types blanked out. */
export function blanked(text: string): string {
  const blank = (what: string): string => what.replaceAll(/[^\n]/g, '\u00a0');
  return text
    .replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g, blank)
    .replaceAll(/^import [^;]*;$/gm, blank)
    .replaceAll(/^(?:export )?const \w+ = Type\.[\s\S]*?^\);$/gm, blank)
    .replaceAll(/^(?:export )?interface [^{]*\{[\s\S]*?^\}$/gm, blank)
    .replaceAll(/^(?:export )?type \w+(?:<[^=]*>)? =[\s\S]*?;$/gm, blank);
}
