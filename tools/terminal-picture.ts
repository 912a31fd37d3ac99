/** `llamero top` as a picture for the README: the real screen, of a fleet that is written down here. */
import type { Paint } from '../src/cli/paint.ts';
import { screen } from '../src/cli/top/screen.ts';
import type { Seen, SeenBackend } from '../src/cli/top/state.ts';
import { seenAnswer, seenBackend } from '../test/support/seen.ts';

const columns = 96;
const lineHeight = 20;
const charWidth = 8.4;
const margin = 20;
const barHeight = 34;

/** Marks that survive into the picture as classes; a letter no text has begins each. */
const marks = {
  bold: 'b',
  dim: 'd',
  red: 'r',
  green: 'g',
  yellow: 'y',
  magenta: 'm',
  cyan: 'c',
  reverse: 'v',
} as const;

const marked = Object.fromEntries(
  Object.entries(marks).map(([name, mark]) => [name, (text: string) => `\uE000${mark}${text}\uE001`]),
) as unknown as Paint;

const gigabyte = 1e9;

function backend(
  name: string,
  changes: Partial<SeenBackend>,
  models: readonly (readonly [string, number])[],
): SeenBackend {
  const resident = models.map(([model, size]) => ({
    name: model,
    size_bytes: size * gigabyte,
    vram_bytes: size * gigabyte,
    context_length: 8192,
    expires_at: null,
  }));
  return seenBackend(name, { ...changes, resident });
}

function running(
  client: string,
  model: string,
  on: string,
  figures: readonly [age: number, tokens: number],
): Seen['requests'][number] {
  const [age, tokens] = figures;
  return {
    id: client,
    route: '/api/chat',
    model,
    client,
    phase: tokens === 0 ? 'waiting' : 'streaming',
    backend: on,
    reason: 'warm',
    stream: true,
    attempts: 1,
    age_ms: age,
    first_byte_ms: tokens === 0 ? null : 300,
    output_tokens: tokens,
  };
}

function answered(by: string, firstByteMs: number): Seen['history'][number] {
  return seenAnswer(by, firstByteMs, { model: 'qwen3:8b', client: 'chat', queue_ms: 0, output_tokens: 200 });
}

const fleet: Seen = {
  gateway: { version: '0.1.0', policy: 'soonest', ready: true, not_ready_reason: null, waiting: 3, in_flight: 6 },
  uptimeMs: 273_600_000,
  backends: [
    backend('gpu1', { in_flight: 4, tokens_per_second: 142.6 }, [
      ['qwen3:8b', 5.9],
      ['nomic-embed-text', 0.6],
    ]),
    backend('gpu2', { in_flight: 2, tokens_per_second: 71.2 }, [
      ['llama3.2:3b', 3.1],
      ['gemma3:12b', 9.4],
    ]),
    backend('mac', { state: 'draining', reason: 'drained by the operator' }, [['llama3.2:3b', 3.1]]),
    backend('old', { state: 'down', reason: 'refused the connection (ECONNREFUSED)', tokens_per_second: null }, []),
  ],
  queue: {
    waiting: 3,
    limit: 1000,
    rows: [
      { model: 'qwen3:8b', client: 'batch', priority: 1, waiting: 3, longest_ms: 2400, soonest_refusal_ms: 117_600 },
    ],
  },
  requests: [
    running('chat', 'qwen3:8b', 'gpu1', [4100, 187]),
    running('editor', 'qwen3:8b', 'gpu1', [900, 31]),
    running('batch', 'qwen3:8b', 'gpu1', [6300, 298]),
    running('batch', 'qwen3:8b', 'gpu1', [300, 0]),
    running('chat', 'gemma3:12b', 'gpu2', [2700, 88]),
    running('home', 'llama3.2:3b', 'gpu2', [1200, 64]),
  ],
  history: [answered('gpu1', 320), answered('gpu2', 510), answered('mac', 840)],
};

/** An SVG document. */
export function terminalPicture(): string {
  const view = { columns, rows: null, order: 'name', selected: 'gpu1', notice: '', elapsedMs: 0 } as const;
  const lines = ['$ llamero top', '', ...screen(fleet, view, marked)];
  const width = Math.round(columns * charWidth + 2 * margin);
  const height = barHeight + lines.length * lineHeight + margin;
  const texts = lines.map((line, index) => {
    const y = barHeight + 18 + index * lineHeight;
    const back = line.includes('\uE000v')
      ? `  <rect class="back" x="${margin - 6}" y="${y - 15}" width="${width - 2 * margin + 12}" height="${lineHeight}" rx="3"/>\n`
      : '';
    return `${back}  <text x="${margin}" y="${y}" xml:space="preserve">${spans(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="llamero top: four backends, the queue and the requests in flight" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
  <style>
    text { fill: #e6edf3 } .b { font-weight: 700 } .d { fill: #8b949e } .r { fill: #ff7b72 } .g { fill: #7ee787 }
    .y { fill: #e3b341 } .m { fill: #d2a8ff } .c { fill: #79c0ff } .back { fill: #30363d }
  </style>
  <rect width="${width}" height="${height}" rx="10" fill="#0d1117"/>
  <circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/><circle cx="60" cy="18" r="6" fill="#28c840"/>
${texts.join('\n')}
</svg>
`;
}

/** Marked text as spans, and the rest escaped. */
function spans(line: string): string {
  const escaped = line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return escaped.replace(/\uE000(.)/g, '<tspan class="$1">').replaceAll('\uE001', '</tspan>');
}
