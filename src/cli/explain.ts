/** `llamero explain [REQUEST-ID]`: the last routing decisions of a running gateway, with what was weighed. */
import type { Candidate, Decision, Decisions } from '../http/admin/shapes.ts';
import { createAdminClient } from './admin-client.ts';
import { adminFlags } from './flags.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

/** Exit codes: 0 shown, 1 no gateway answers or it knows nothing of the request, 2 flags not understood. */
export async function explainCommand(argv: readonly string[], io: Io): Promise<number> {
  const [first = ''] = argv;
  const job = first.startsWith('-') ? '' : first;
  const read = await readConfig(job === '' ? argv : argv.slice(1), io, adminFlags);
  if (typeof read === 'number') return read;
  const client = createAdminClient(read.loaded.config.admin, read.flags.get('token')?.[0]);
  const query = job === '' ? 'limit=10' : `job=${encodeURIComponent(job)}`;
  const answer = await client.get<Decisions>(`/gateway/decisions?${query}`);
  if (!answer.ok) {
    io.stderr.write(`llamero: ${client.address} ${answer.problem}\n`);
    return 1;
  }
  const { decisions } = answer.value;
  if (decisions.length === 0) {
    const about = job === '' ? 'no decision yet' : `no decision about \`${job}\` is remembered`;
    io.stderr.write(`llamero: ${about}; only the policy \`soonest\` explains itself\n`);
    return 1;
  }
  io.stdout.write(decisions.map(describe).join('\n'));
  return 0;
}

function describe(decision: Decision): string {
  const { ago_ms: agoMs, backend, model, why } = decision;
  const head = `${seconds(agoMs)} ago  ${model ?? 'no model'} → ${backend}`;
  switch (decision.kind) {
    case 'sent':
      return `${head}  sent (${decision.reason}) after ${seconds(decision.waited_ms)}: ${why}\n${table(decision.candidates)}`;
    case 'held':
      return `${head}  held for at most ${seconds(decision.for_ms)} rather than sent to ${decision.instead}: ${why}\n${table(decision.candidates)}`;
    case 'placed': {
      const evicted = decision.evicted.length === 0 ? 'nothing' : decision.evicted.join(', ');
      return `${head}  loaded in place of ${evicted} for ${decision.waiting} waiting: ${why}\n`;
    }
  }
}

function table(candidates: readonly Candidate[]): string {
  const rows = candidates.map((one) => [
    one.backend,
    one.phase,
    one.free ? 'free' : 'busy',
    seconds(one.wait_ms),
    seconds(one.load_ms),
    seconds(one.prefill_ms),
    String(one.cached_tokens),
    seconds(one.total_ms),
  ]);
  const all = [['backend', 'model is', 'slot', 'wait', 'load', 'prefill', 'cached', 'total'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return `${all.map((row) => `    ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd()).join('\n')}\n`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}
