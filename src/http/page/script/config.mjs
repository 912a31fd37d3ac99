/** The configuration as it counts. */
import { byId, el } from './dom.mjs';
import { ask } from './gateway.mjs';

const kept = { config: null };
const levels = ['debug', 'info', 'warn', 'error', 'silent'];

export async function openConfig() {
  try {
    kept.config = (await ask('GET', 'config')).config;
    const { level } = await ask('GET', 'log');
    byId('log-level').replaceChildren(...levels.map((name) => el('option', { text: name, selected: name === level })));
  } catch ({ message }) {
    byId('config').replaceChildren(el('p', { class: 'none', text: message }));
    return;
  }
  drawConfig();
}

export function drawConfig() {
  if (kept.config === null) return;
  const wanted = byId('find-option').value.trim().toLowerCase();
  const sections = Object.entries(kept.config).flatMap(([name, value]) => {
    const rows = leaves(value, [])
      .map(([path, text]) => [path.join('.') || name, text, [name, ...path].join('.')])
      .filter(([, text, full]) => `${full} ${text}`.toLowerCase().includes(wanted));
    if (rows.length === 0) return [];
    const lines = rows.map(([path, text]) =>
      el('div', {}, el('span', { class: 'key', text: path }), el('span', { class: 'value', text })),
    );
    return [el('h3', { text: name }), ...lines];
  });
  const none = el('p', { class: 'none', text: 'No option is like that.' });
  byId('config').replaceChildren(el('div', { class: 'options' }, ...(sections.length === 0 ? [none] : sections)));
}

/** `[path, text]` of every value. */
function leaves(value, path) {
  if (Array.isArray(value)) {
    const isFlat = value.every((one) => typeof one !== 'object' || one === null);
    return isFlat
      ? [[path, value.join(', ') || 'none']]
      : value.flatMap((one, index) => leaves(one, [...path, String(index + 1)]));
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value);
    return entries.length === 0 ? [[path, 'none']] : entries.flatMap(([name, one]) => leaves(one, [...path, name]));
  }
  return [[path, String(value)]];
}
