/** Text ↔ number for the formats of core/options.ts: durations (ms), sizes (bytes) and addresses. Null means "not one". */
import type { Address } from '../core/options.ts';

const MS_PER: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES_PER: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** As a regular expression for editors: `2s`, `1h30m`, `250ms`, `0`. */
export const DURATION_PATTERN = '^(?:0|(?:[0-9]+(?:\\.[0-9]+)?(?:ms|s|m|h|d))+)$';
/** As a regular expression for editors: `64KiB`, `1.5GiB`, `10MB`, `512`. */
export const SIZE_PATTERN = '^[0-9]+(?:\\.[0-9]+)?(?: ?(?:[kKmMgGtT][iI]?)?[bB])?$';
/** As a regular expression for editors: `127.0.0.1:11435`, `:11435`, `[::1]:0`. */
export const ADDRESS_PATTERN = '^(?:\\[[0-9A-Fa-f:.]+\\]|[^\\s:/@\\[\\]]*):[0-9]{1,5}$';

const duration = new RegExp(DURATION_PATTERN);
const size = new RegExp(SIZE_PATTERN);
const address = new RegExp(ADDRESS_PATTERN);

/** Milliseconds, rounded to whole ones. A bare number other than 0 is refused: it would be a guess at the unit. */
export function parseDuration(written: unknown): number | null {
  if (written === 0) return 0;
  if (typeof written !== 'string' || !duration.test(written)) return null;
  if (written === '0') return 0;
  let total = 0;
  for (const [, count, unit] of written.matchAll(/([0-9.]+)([a-z]+)/g)) total += Number(count) * MS_PER[unit!]!;
  const ms = Math.round(total);
  return Number.isSafeInteger(ms) ? ms : null;
}

/** The shortest exact way to write a whole number of milliseconds: 90000 → `1m30s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0';
  let rest = ms;
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const count = Math.floor(rest / MS_PER[unit]!);
    rest -= count * MS_PER[unit]!;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}

/** Whole bytes. A bare number is bytes. */
export function parseSize(written: unknown): number | null {
  if (typeof written === 'number') return Number.isSafeInteger(written) && written >= 0 ? written : null;
  if (typeof written !== 'string' || !size.test(written)) return null;
  const [, count, unit] = /^([0-9.]+) ?([a-z]*)$/i.exec(written)!;
  const bytes = Math.round(Number(count) * BYTES_PER[(unit || 'b').toLowerCase()]!);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** The largest binary unit that writes the number exactly: 268435456 → `256MiB`, 1000 → `1000B`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const per = BYTES_PER[unit.toLowerCase()]!;
    if (bytes >= per && bytes % per === 0) return `${bytes / per}${unit}`;
  }
  return `${bytes}B`;
}

/** `:PORT` means every interface, IPv6 and IPv4. */
export function parseAddress(written: unknown): Address | null {
  if (typeof written !== 'string' || !address.test(written)) return null;
  const colon = written.lastIndexOf(':');
  const port = Number(written.slice(colon + 1));
  if (port > 65_535) return null;
  const host = written.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host: host === '' ? '::' : host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
