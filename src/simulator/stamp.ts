/** Times as Go prints them. Instants are epoch milliseconds as a float, whose fraction carries the rest. */

/** RFC 3339 in UTC with nanoseconds, the zeros at their end left out. */
export function rfc3339(epochMs: number): string {
  const ms = Math.floor(epochMs);
  const nanoseconds = (ms % 1_000) * 1_000_000 + Math.floor((epochMs - ms) * 1e6);
  const seconds = secondsText(Math.floor(ms / 1_000));
  if (nanoseconds === 0) return `${seconds}Z`;
  return `${seconds}.${String(nanoseconds).padStart(9, '0').replace(/0+$/u, '')}Z`;
}

/** Streams stamp every token, most of them within the same second. */
let lastSecond = { second: -1, text: '' };

function secondsText(second: number): string {
  if (lastSecond.second !== second) {
    lastSecond = { second, text: new Date(second * 1_000).toISOString().slice(0, 19) };
  }
  return lastSecond.text;
}

export function httpDate(epochMs: number): string {
  return new Date(epochMs).toUTCString();
}
