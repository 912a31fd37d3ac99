/** Figures in words. */

export function bytes(count) {
  if (count >= 1024 ** 3) return `${trimmed(count / 1024 ** 3)} GiB`;
  if (count >= 1024 ** 2) return `${Math.round(count / 1024 ** 2)} MiB`;
  return `${Math.round(count / 1024)} KiB`;
}

function trimmed(number) {
  return number >= 100 ? String(Math.round(number)) : String(Math.round(number * 10) / 10);
}

/** A length of time: `120 ms`, `4.2 s`, `3 min`, `2 h`. */
export function span(ms) {
  if (ms === null) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}

/** Until a moment: `4:07`, `2 h`, `∞`. */
export function countdown(ms) {
  if (ms > 30 * 86_400_000) return '∞';
  if (ms <= 0) return 'now';
  if (ms >= 5_400_000) return span(ms);
  const seconds = Math.ceil(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

export function ago(ms) {
  if (ms < 1500) return 'just now';
  if (ms < 60_000) return `${Math.round(ms / 1000)} s ago`;
  return `${span(ms)} ago`;
}

export function pace(tokensPerSecond) {
  if (tokensPerSecond === null || tokensPerSecond === undefined) return '–';
  return tokensPerSecond >= 100 ? String(Math.round(tokensPerSecond)) : String(Math.round(tokensPerSecond * 10) / 10);
}

/** A model's name without the tag that goes without saying. */
export function modelText(name) {
  return name === null ? 'no model' : name.replace(/:latest$/, '');
}

const hues = new Map();

/** The same hue for the same name, everywhere; neighbours in the order of appearance are far apart. */
export function hueOf(name) {
  if (!hues.has(name)) hues.set(name, Math.round(40 + hues.size * 137.5) % 360);
  return hues.get(name);
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}
