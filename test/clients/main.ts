/**
 * `npm run test:clients`: every client does everything on a simulated Ollama and on a gateway in front of three, and has to see
 * the same. Prints the tables; exits with 1 when a client sees something else.
 *
 *     npm run test:clients                         all of it
 *     npm run test:clients -- --client openai      rows with the word in their name
 *     npm run test:clients -- --column stream      one column
 *     npm run test:clients -- --all                a client that cannot be had is a failure
 */
import { parseArgs } from 'node:util';
import { type Closer, withCloser } from '../support/closer.ts';
import type { Client } from './client.ts';
import { type Column, faults, uses } from './columns.ts';
import { anthropicJs } from './javascript/anthropic.ts';
import { langchain } from './javascript/langchain.ts';
import { ollamaJs } from './javascript/ollama.ts';
import { openaiResponsesJs } from './javascript/openai-responses.ts';
import { openaiJs } from './javascript/openai.ts';
import { judgeCell, type Verdict } from './matrix.ts';
import { type PythonProgram, pythonEnvironment, startPython } from './python.ts';
import { footnotes, labelOf, table } from './table.ts';

const clients: readonly (Client | PythonProgram)[] = [
  ollamaJs,
  { name: 'ollama-python', file: 'ollama_calls.py' },
  openaiJs,
  { name: 'openai (Python)', file: 'openai_calls.py' },
  openaiResponsesJs,
  { name: 'openai (Python), responses', file: 'openai_responses_calls.py' },
  anthropicJs,
  { name: 'anthropic (Python)', file: 'anthropic_calls.py' },
  langchain,
];

/** Rows filled at a time: a cell mostly waits. */
const abreast = 3;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

interface Cast {
  readonly ready: readonly Client[];
  /** Who could not be had, and why. */
  readonly skipped: readonly string[];
}

async function gather(chosen: readonly (Client | PythonProgram)[], closer: Closer): Promise<Cast> {
  const programs = chosen.filter((each) => 'file' in each);
  const environment = programs.length === 0 ? null : await pythonEnvironment(say);
  const reason = environment?.kind === 'missing' ? environment.reason : null;
  const ready = chosen.flatMap((each): Promise<Client>[] => {
    if (!('file' in each)) return [Promise.resolve(each)];
    return environment?.kind === 'ready' ? [startPython(environment.interpreter, each, closer)] : [];
  });
  return {
    ready: await Promise.all(ready),
    skipped: reason === null ? [] : programs.map(({ name }) => `${name}: ${reason}`),
  };
}

/** Prints each row as soon as it and those above are filled. */
async function fill(title: string, columns: readonly Column[], ready: readonly Client[]): Promise<readonly Verdict[]> {
  const { head, row } = table(title, columns, ready.map(labelOf));
  say(`\n${head}`);
  const rows: Promise<readonly Verdict[]>[] = [];
  for (const [place, client] of ready.entries()) {
    const free = rows[place - abreast] ?? Promise.resolve();
    rows.push(free.then(() => fillRow(client, columns)));
  }
  for (const [place, client] of ready.entries()) say(row(labelOf(client), await rows[place]!));
  return (await Promise.all(rows)).flat();
}

async function fillRow(client: Client, columns: readonly Column[]): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const column of columns) verdicts.push(await judgeCell(client, column));
  return verdicts;
}

async function main(closer: Closer): Promise<boolean> {
  const began = performance.now();
  const { values: wanted } = parseArgs({
    options: { client: { type: 'string' }, column: { type: 'string' }, all: { type: 'boolean', default: false } },
  });
  const isChosen = ({ name }: Column): boolean => wanted.column === undefined || name === wanted.column;
  const { ready, skipped } = await gather(
    clients.filter(({ name }) => name.toLowerCase().includes(wanted.client?.toLowerCase() ?? '')),
    closer,
  );
  const verdicts: Verdict[] = [];
  for (const [title, all] of [
    ['What it does', uses],
    ['What a stream meets', faults],
  ] as const) {
    const columns = all.filter(isChosen);
    if (columns.length > 0 && ready.length > 0) verdicts.push(...(await fill(title, columns, ready)));
  }
  const count = (kind: Verdict['kind']): number => verdicts.filter((verdict) => verdict.kind === kind).length;
  const [same, better, failed] = [count('same'), count('better'), count('different')];
  const legend = ['✓    The client sees the same as of an Ollama.', '–    It has no such call.'];
  say(['', ...legend, ...footnotes(verdicts)].join('\n'));
  for (const reason of skipped) say(`\nskipped ${reason}`);
  for (const { problems } of verdicts.filter((verdict) => verdict.kind === 'different')) {
    for (const problem of problems) say(`\n✗ ${problem}`);
  }
  const seconds = Math.round((performance.now() - began) / 1_000);
  say(`\n${same} cells the same, ${better} better, ${failed} different, in ${seconds} s`);
  say(`${same + better} passed, ${failed} failed, ${skipped.length} skipped`);
  return failed === 0 && same + better + skipped.length > 0 && (skipped.length === 0 || !wanted.all);
}

// Some clients complain there about what they are made to read here.
console.warn = () => {};
process.exitCode = (await withCloser(main)) ? 0 : 1;
