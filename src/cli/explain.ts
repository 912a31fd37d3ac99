/** `llamero explain [REQUEST-ID]`: the last routing decisions of a running gateway, with what was weighed. */
import { formatAddress } from '../config/units.ts';
import type { Io } from './io.ts';
import { readConfig } from './read-config.ts';

const waitMs = 5000;

/** A backend as it was weighed, as the admin API tells it. */
interface Candidate {
  readonly backend: string;
  readonly phase: string;
  readonly free: boolean;
  readonly wait_ms: number;
  readonly load_ms: number;
  readonly prefill_ms: number;
  readonly cached_tokens: number;
  readonly total_ms: number;
}

/** A decision, as the admin API tells it. */
type Decision = {
  readonly ago_ms: number;
  readonly model: string | null;
  readonly backend: string;
  readonly why: string;
} & (
  | {
      readonly kind: 'sent';
      readonly reason: string;
      readonly waited_ms: number;
      readonly candidates: readonly Candidate[];
    }
  | {
      readonly kind: 'held';
      readonly instead: string;
      readonly for_ms: number;
      readonly candidates: readonly Candidate[];
    }
  | { readonly kind: 'placed'; readonly evicted: readonly string[]; readonly waiting: number }
);

/** Exit codes: 0 shown, 1 no gateway answers or it knows nothing of the request, 2 flags not understood. */
export async function explainCommand(argv: readonly string[], io: Io): Promise<number> {
  const [first = ''] = argv;
  const job = first.startsWith('-') ? '' : first;
  const read = await readConfig(job === '' ? argv : argv.slice(1), io);
  if (typeof read === 'number') return read;
  const { admin } = read.loaded.config;
  const address = formatAddress(admin.address);
  const query = job === '' ? 'limit=10' : `job=${encodeURIComponent(job)}`;
  const headers: Record<string, string> = admin.token === undefined ? {} : { authorization: `Bearer ${admin.token}` };
  let decisions: readonly Decision[];
  try {
    const answer = await fetch(`http://${address}/gateway/decisions?${query}`, {
      headers,
      signal: AbortSignal.timeout(waitMs),
    });
    const told = (await answer.json()) as { decisions: readonly Decision[] } | { detail: string };
    if ('detail' in told) {
      io.stderr.write(`llamero: the gateway on ${address} refuses: ${told.detail}\n`);
      return 1;
    }
    ({ decisions } = told);
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
