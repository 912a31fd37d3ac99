/** Colours for people; nothing for pipes, and nothing for those who set NO_COLOR. */
import type { Environment } from '../config/env-layer.ts';
import type { Output } from './io.ts';

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, magenta: 35, cyan: 36, reverse: 7 } as const;

export type Paint = Readonly<Record<keyof typeof codes, (text: string) => string>>;

export function paintFor(output: Output, env: Environment): Paint {
  const wanted = output.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return wanted ? painted : plain;
}

const painted = paintWith((code, text) => `\u001B[${code}m${text}\u001B[0m`);
export const plain: Paint = paintWith((_code, text) => text);

function paintWith(paint: (code: number, text: string) => string): Paint {
  return Object.fromEntries(
    Object.entries(codes).map(([name, code]) => [name, (text: string) => paint(code, text)]),
  ) as unknown as Paint;
}
