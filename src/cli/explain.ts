/** `llamero explain [REQUEST-ID]`: the last routing decisions of a running gateway, with what was weighed. */
import type { Aged, CandidateTerms } from '../core/routing/decisions.ts';
import { formatAddress } from '../config/units.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

const waitMs = 5000;

/** Exit codes: 0 shown, 1 no gateway answers or it knows nothing of the request, 2 flags not understood. */
export async function explainCommand(argv: readonly string[], io: Io): Promise<number> {
  const [first = ''] = argv;
  const job = first.startsWith('-') ? '' : first;
  const read = await readConfig(job === '' ? argv : argv.slice(1), io);
  if (typeof read === 'number') return read;
  const address = formatAddress(read.loaded.config.admin.address);
  const query = job === '' ? 'limit=10' : `job=${encodeURIComponent(job)}`;
  let decisions: readonly Aged[];
  try {
    const answer = await fetch(`http://${address}/gateway/decisions?${query}`, { signal: AbortSignal.timeout(waitMs) });
    ({ decisions } = (await answer.json()) as { decisions: readonly Aged[] });
  } catch {
    io.stderr.write(`llamero: no gateway answers on ${address}; is it running, and is this its --admin address?\n`);
    return 1;
  }
  if (decisions.length === 0) {
    const about = job === '' ? 'no decision yet' : `no decision about \`${job}\` is remembered`;
    io.stderr.write(`llamero: ${about}; only the policy \`soonest\` explains itself\n`);
    return 1;
  }
  io.stdout.write(decisions.map(describe).join('\n'));
  return 0;
}

function describe(decision: Aged): string {
  const { agoMs, backend, model, why } = decision;
  const head = `${seconds(agoMs)} ago  ${model ?? 'no model'} → ${backend}`;
  switch (decision.kind) {
    case 'sent':
      return `${head}  sent (${decision.reason}) after ${seconds(decision.waitedMs)}: ${why}\n${table(decision.candidates)}`;
    case 'held':
      return `${head}  held for at most ${seconds(decision.forMs)} rather than sent to ${decision.instead}: ${why}\n${table(decision.candidates)}`;
    case 'placed': {
      const evicted = decision.evicted.length === 0 ? 'nothing' : decision.evicted.join(', ');
      return `${head}  loaded in place of ${evicted} for ${decision.waiting} waiting: ${why}\n`;
    }
  }
}

function table(candidates: readonly CandidateTerms[]): string {
  const rows = candidates.map((one) => [
    one.backend,
    one.phase,
    one.free ? 'free' : 'busy',
    seconds(one.waitMs),
    seconds(one.loadMs),
    seconds(one.prefillMs),
    String(one.cachedTokens),
    seconds(one.totalMs),
  ]);
  const all = [['backend', 'model is', 'slot', 'wait', 'load', 'prefill', 'cached', 'total'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return `${all.map((row) => `    ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd()).join('\n')}\n`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
