/** How far several long things are: bars that move on a terminal, a line for each step where nobody watches. */
import type { Output } from './io.ts';
import { cut, size } from './table.ts';

export interface Progress {
  /** `total` 0 means that it is not known. */
  at(name: string, status: string, completed: number, total: number): void;
  /** The last word on one of them. */
  done(name: string, text: string): void;
}

export function createProgress(names: readonly string[], output: Output): Progress {
  const width = Math.max(...names.map((name) => name.length));
  return output.isTTY === true ? bars(names, width, output) : lines(width, output);
}

function bars(names: readonly string[], width: number, output: Output): Progress {
  const texts = new Map(names.map((name) => [name, '']));
  let drawn = 0;
  const draw = () => {
    const up = drawn === 0 ? '' : `\u001B[${drawn}A`;
    output.write(`${up}${[...texts].map(([name, text]) => `${name.padEnd(width)}  ${text}\u001B[K\n`).join('')}`);
    drawn = texts.size;
  };
  const set = (name: string, text: string) => {
    if (texts.get(name) === text) return;
    texts.set(name, text);
    draw();
  };
  return {
    at: (name, status, completed, total) =>
      set(name, bar({ status, completed, total }, (output.columns ?? 80) - width - 2)),
    done: set,
  };
}

/** A line for each status, and for each tenth of it. */
function lines(width: number, output: Output): Progress {
  const told = new Map<string, string>();
  const tell = (name: string, key: string, text: string) => {
    if (told.get(name) === key) return;
    told.set(name, key);
    output.write(`${name.padEnd(width)}  ${text}\n`);
  };
  return {
    at(name, status, completed, total) {
      const tenth = total > 0 ? Math.floor((completed / total) * 10) : 0;
      const share = total > 0 ? ` ${tenth * 10} % of ${size(total)}` : '';
      tell(name, `${status} ${tenth}`, `${status}${share}`);
    },
    done: (name, text) => tell(name, text, text),
  };
}

/** `pulling 6a0746a1ec1a  ███████░░░░░  58 %  1.2 GB of 2.0 GB`, in `width` characters. */
export function bar(
  { completed, status, total }: { readonly status: string; readonly completed: number; readonly total: number },
  width: number,
): string {
  if (total <= 0) return cut(status, width);
  const share = Math.min(1, completed / total);
  const figures = `${String(Math.floor(share * 100)).padStart(3)} %  ${size(completed)} of ${size(total)}`;
  const label = cut(status, 22).padEnd(22);
  const room = width - label.length - figures.length - 4;
  if (room < 5) return cut(`${label}  ${figures}`, width);
  const full = Math.round(share * room);
  return `${label}  ${'█'.repeat(full)}${'░'.repeat(room - full)}  ${figures}`;
}
