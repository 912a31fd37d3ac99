/** What `llamero top` and `llamero status` show, as lines of text. Pure: the same fleet gives the same lines. */
import type { Paint } from '../paint.ts';
import { cut, duration, size, table, type Column } from '../table.ts';
import type { Seen, SeenBackend } from './state.ts';

export const orders = ['name', 'busy', 'tokens', 'ttft', 'errors'] as const;
export type Order = (typeof orders)[number];

export interface View {
  readonly columns: number;
  /** Lines that fit; null when there is no end to them. */
  readonly rows: number | null;
  readonly order: Order;
  /** The backend the keys act on; null when no keys do. */
  readonly selected: string | null;
  /** What has just been done, or went wrong. */
  readonly notice: string;
  /** Since the snapshot. */
  readonly elapsedMs: number;
}

export function screen(seen: Seen, view: View, paint: Paint): string[] {
  const backends = ordered(seen, view.order);
  const head = [paint.bold(cut(headline(seen, view.elapsedMs), view.columns)), ''];
  const fleet = fleetLines(seen, backends, view, paint);
  const foot = view.selected === null ? [] : ['', footLine(view, paint)];
  const left = view.rows === null ? Infinity : view.rows - head.length - foot.length - fleet.length;
  const queued = waitingLines(seen, view.columns);
  const waiting = section(queued, Math.min(left, Math.max(4, Math.floor(left / 2))), 'waiting');
  const running = section(runningLines(seen, view.columns), left - waiting.length, 'running');
  const body = [...fleet, ...waiting, ...running];
  const most = view.rows === null ? body.length : Math.max(0, view.rows - head.length - foot.length);
  return [...head, ...body.slice(0, most), ...foot];
}

/** The backends, sorted. Ties keep the gateway's order. */
export function ordered(seen: Seen, order: Order): readonly SeenBackend[] {
  if (order === 'name') return seen.backends.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const figure: Readonly<Record<Exclude<Order, 'name'>, (backend: SeenBackend) => number>> = {
    busy: ({ in_flight: inFlight }) => inFlight,
    tokens: ({ tokens_per_second: rate }) => rate ?? 0,
    ttft: ({ name }) => timeToFirstToken(seen, name) ?? -1,
    errors: ({ name }) => errorsOf(seen, name),
  };
  return seen.backends.toSorted((a, b) => figure[order](b) - figure[order](a));
}

function headline({ backends, gateway, queue, uptimeMs }: Seen, elapsedMs: number): string {
  const rate = backends.reduce((sum, { tokens_per_second: one }) => sum + (one ?? 0), 0);
  const rates = backends.some(({ tokens_per_second: one }) => one !== null) ? [`${rate.toFixed(1)} tok/s`] : [];
  return [
    `llamero ${gateway.version}`,
    gateway.ready ? 'ready' : `NOT READY: ${gateway.not_ready_reason ?? ''}`,
    `up ${duration(uptimeMs + elapsedMs)}`,
    `${gateway.in_flight} running`,
    `${queue.waiting}/${queue.limit} waiting`,
    ...rates,
  ].join(' · ');
}

const columns: readonly Column[] = [
  { title: 'BACKEND', most: 16 },
  { title: 'STATE', most: 9 },
  { title: 'BUSY', align: 'right' },
  { title: 'TTFT', align: 'right' },
  { title: 'TOK/S', align: 'right' },
  { title: 'ERR', align: 'right' },
  { title: 'VRAM', align: 'right' },
  { title: 'IN MEMORY' },
];

function fleetLines(seen: Seen, backends: readonly SeenBackend[], view: View, paint: Paint): string[] {
  const rows = backends.map((backend) => {
    const ttft = timeToFirstToken(seen, backend.name);
    const errors = errorsOf(seen, backend.name);
    return [
      backend.name,
      backend.state,
      `${backend.in_flight}/${backend.slots ?? 'auto'}`,
      ttft === null ? '-' : duration(ttft),
      backend.tokens_per_second === null ? '-' : backend.tokens_per_second.toFixed(1),
      errors === 0 ? '-' : String(errors),
      vram(backend),
      inMemory(backend),
    ];
  });
  const [title, ...lines] = table(columns, rows, view.columns);
  return [
    paint.dim(title!),
    ...lines.map((line, index) => {
      const backend = backends[index]!;
      const padded = backend.name === view.selected ? paint.reverse(line.padEnd(view.columns)) : line;
      return tint(backend, paint)(padded);
    }),
  ];
}

function tint({ breaker, state }: SeenBackend, paint: Paint): (text: string) => string {
  if (state === 'up') return breaker === 'closed' ? (text) => text : paint.yellow;
  return state === 'down' || state === 'ejected' ? paint.red : paint.yellow;
}

function vram({ resident }: SeenBackend): string {
  if (resident === null || resident.length === 0) return '-';
  return size(resident.reduce((sum, { vram_bytes: one }) => sum + one, 0));
}

/** The models in memory; for a backend that is not up, why. */
function inMemory({ reason, resident, simulated, state }: SeenBackend): string {
  const badge = simulated ? 'SIMULATED ' : '';
  if (state !== 'up' && reason !== '') return `${badge}${reason}`;
  return `${badge}${(resident ?? []).map(({ name }) => name).join(' ')}`;
}

/** The median of its last answers, until the first byte and without the queue; null when it has answered nothing of late. */
function timeToFirstToken({ history }: Seen, backend: string): number | null {
  const times = history.flatMap(({ backend: by, first_byte_ms: first, queue_ms: waited, stream }) =>
    by === backend && stream && first !== null ? [Math.max(0, first - waited)] : [],
  );
  return times.length === 0 ? null : times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;
}

/** Of its last answers, those that were the gateway's or its own fault. */
function errorsOf({ history }: Seen, backend: string): number {
  const fine = new Set(['ok', 'client-gone', 'client-error']);
  return history.filter(({ backend: by, outcome, status }) => by === backend && !fine.has(outcome) && status >= 500)
    .length;
}

function waitingLines({ queue }: Seen, width: number): string[] {
  if (queue.rows.length === 0) return [];
  const titles: readonly Column[] = [
    { title: 'MODEL', most: 32 },
    { title: 'CLIENT', most: 20 },
    { title: 'WAITING', align: 'right' },
    { title: 'LONGEST', align: 'right' },
    { title: 'UNTIL REFUSED', align: 'right' },
  ];
  const rows = queue.rows.map(({ client, longest_ms: longest, model, soonest_refusal_ms: until, waiting }) => [
    model ?? '-',
    client,
    String(waiting),
    duration(longest),
    duration(until),
  ]);
  return table(titles, rows, width);
}

function runningLines({ requests }: Seen, width: number): string[] {
  const running = requests.filter(({ phase }) => phase !== 'queued');
  if (running.length === 0) return [];
  const titles: readonly Column[] = [
    { title: 'MODEL', most: 28 },
    { title: 'BACKEND', most: 16 },
    { title: 'PHASE' },
    { title: 'AGE', align: 'right' },
    { title: 'TOKENS', align: 'right' },
    { title: 'CLIENT', most: 20 },
  ];
  const rows = running.map(({ age_ms: age, backend, client, model, output_tokens: tokens, phase, route }) => [
    model ?? route,
    backend ?? '-',
    phase,
    duration(age),
    String(tokens),
    client,
  ]);
  return table(titles, rows, width);
}

/** At most so many lines, with a blank one before; what does not fit is counted in the last. */
function section(lines: readonly string[], most: number, name: string): string[] {
  if (lines.length === 0 || most < 3) return [];
  if (lines.length + 1 <= most) return ['', ...lines];
  const shown = lines.slice(0, Math.max(1, most - 2));
  const width = Math.max(...lines.map((line) => line.length));
  return ['', ...shown, cut(`${lines.length - shown.length} more ${name}`, width)];
}

function footLine({ columns: width, notice, order }: View, paint: Paint): string {
  const keys = `↑↓ choose  d drain  r resume  s sort (${order})  q quit`;
  return notice === '' ? paint.dim(cut(keys, width)) : paint.cyan(cut(notice, width));
}
