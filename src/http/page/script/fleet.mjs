/** The cards: one for each backend. */
import { askDrain, askPull, askSettings, askUnload } from './actions.mjs';
import { byId, el, keyed, setAttribute, setText } from './dom.mjs';
import { bytes, countdown, hueOf, modelText, pace, plural } from './format.mjs';
import { sparkLine } from './spark.mjs';
import { now, state } from './state.mjs';

const MOST_PIPS = 24;
const SOON_MS = 60_000;

export function drawCards() {
  const backends = [...state.backends.values()];
  keyed(byId('cards'), backends, ({ name }) => name, card);
  if (backends.length > 0) return;
  byId('cards').append(
    el('p', {
      class: 'none',
      text: 'No backend is configured. Add one to the configuration and reload, or start an Ollama on this machine.',
    }),
  );
}

function card({ name, url }) {
  const view = { name };
  const title = el(
    'h3',
    {},
    document.createTextNode(name),
    (view.badge = el('span', { class: 'badge', text: 'SIMULATED' })),
  );
  view.state = stateBadge();
  view.why = el('p', { class: 'why' });
  view.pace = el('b');
  view.spark = sparkLine();
  view.slots = el('div');
  view.slotsValue = el('span', { class: 'value' });
  view.memory = el('div', { class: 'bar' });
  view.memoryValue = el('span', { class: 'value' });
  view.warm = el('ul', { class: 'warm', 'aria-label': `Models in memory of ${name}` });
  view.facts = el('span', { class: 'facts' });
  view.drain = el('button', {
    type: 'button',
    class: 'quiet drain',
    on: { click: () => askDrain(state.backends.get(name)) },
  });
  view.node = el(
    'article',
    { 'aria-label': `Backend ${name}`, 'data-backend': name },
    el(
      'header',
      {},
      el('div', { class: 'who' }, title, el('div', { class: 'url', text: url, title: url })),
      view.state.node,
    ),
    view.why,
    el('div', { class: 'pace' }, el('div', {}, view.pace, el('span', { text: 'tokens/s' })), view.spark.node),
    row('In flight', view.slots, view.slotsValue),
    row('VRAM', view.memory, view.memoryValue),
    view.warm,
    el(
      'footer',
      {},
      view.facts,
      view.drain,
      el('button', { type: 'button', class: 'quiet', text: 'Pull…', on: { click: () => askPull(name) } }),
      el('button', {
        type: 'button',
        class: 'quiet',
        text: 'Change…',
        on: { click: () => askSettings(state.backends.get(name)) },
      }),
    ),
  );
  return { node: view.node, update: (backend) => updateCard(view, backend) };
}

function row(label, bar, value) {
  return el('div', { class: 'row' }, el('span', { class: 'label', text: label }), value, bar);
}

function stateBadge() {
  const text = el('span');
  const node = el('span', { class: 'state' }, el('i', { 'aria-hidden': true }), text);
  return {
    node,
    update(backend) {
      setAttribute(node, 'class', `state ${backend.state}`);
      setText(text, backend.state);
    },
  };
}

function updateCard(view, backend) {
  setAttribute(view.node, 'class', `card ${backend.state}`);
  view.badge.hidden = !backend.simulated;
  view.state.update(backend);
  const why = [backend.reason, ...backend.troubled.map(({ model, reason }) => `${modelText(model)}: ${reason}`)];
  setText(view.why, why.filter((reason) => reason !== '').join(' · '));
  view.why.hidden = view.why.textContent === '';
  setText(view.pace, pace(backend.tokens_per_second));
  view.spark.update(state.rates.get(backend.name) ?? []);
  updateSlots(view, backend);
  updateMemory(view, backend);
  keyed(
    view.warm,
    backend.resident ?? [],
    (model) => model.name,
    (model) => warmModel(backend.name, model),
  );
  if ((backend.resident ?? []).length === 0) {
    const text = backend.resident === null ? 'not known yet' : 'nothing in memory';
    view.warm.append(el('li', { class: 'none', text }));
  }
  setText(view.drain, backend.state === 'draining' ? 'Resume' : 'Drain');
  setText(view.facts, facts(backend).join(' · '));
  setAttribute(view.facts, 'title', backend.last_error === null ? null : `last error: ${backend.last_error}`);
}

function facts({ breaker, version, weight }) {
  return [
    ...(version === null ? [] : [`v${version}`]),
    ...(weight === 1 ? [] : [`weight ${weight}`]),
    ...(breaker === 'closed' ? [] : [`breaker ${breaker}`]),
  ];
}

/** Where the policy counts the slots of each model, they are those of the models in memory, as far as they have shown. */
function slotsOf({ in_flight: inFlight, learnt, resident, slots }) {
  if (slots !== null) return slots;
  const warm = new Set((resident ?? []).map(({ name }) => name));
  const known = (learnt?.models ?? []).filter(({ model }) => warm.has(model));
  return Math.max(
    inFlight,
    known.reduce((sum, model) => sum + model.slots, 0),
  );
}

function updateSlots(view, backend) {
  const slots = slotsOf(backend);
  const shown = Math.min(MOST_PIPS, Math.max(slots, backend.in_flight, 1));
  setAttribute(view.slots, 'class', 'pips');
  const taken =
    shown < MOST_PIPS
      ? backend.in_flight
      : Math.round((backend.in_flight / Math.max(slots, backend.in_flight)) * shown);
  keyed(
    view.slots,
    Array.from({ length: shown }, (_, index) => index),
    (index) => index,
    () => el('i'),
  );
  for (const [index, pip] of [...view.slots.children].entries()) pip.classList.toggle('taken', index < taken);
  view.slotsValue.replaceChildren(el('b', { text: String(backend.in_flight) }), slots === 0 ? '' : ` of ${slots}`);
}

function updateMemory(view, backend) {
  const used = (models) => (models ?? []).reduce((sum, model) => sum + model.vram_bytes, 0);
  const mine = used(backend.resident);
  const most = Math.max(
    ...[...state.backends.values()].map(({ memory_bytes: memory, resident }) => memory ?? used(resident)),
  );
  const whole = backend.memory_bytes ?? Math.max(1, most * 1.25);
  view.memory.classList.toggle('open', backend.memory_bytes === null && mine > 0);
  keyed(
    view.memory,
    backend.resident ?? [],
    ({ name }) => name,
    ({ name }) => {
      const node = el('i', { title: name });
      node.style.background = colourOf(name);
      return {
        node,
        update(model) {
          node.style.width = `${Math.min(100, (model.vram_bytes / whole) * 100)}%`;
        },
      };
    },
  );
  const of = backend.memory_bytes === null ? '' : ` of ${bytes(backend.memory_bytes)}`;
  view.memoryValue.replaceChildren(el('b', { text: mine === 0 ? 'none' : bytes(mine) }), of);
}

export function colourOf(model) {
  return `light-dark(oklch(.66 .11 ${hueOf(model)}), oklch(.74 .1 ${hueOf(model)}))`;
}

function warmModel(backend, { name }) {
  const swatch = el('i', { class: 'swatch', 'aria-hidden': true });
  swatch.style.background = colourOf(name);
  const more = el('span', { class: 'more' });
  const left = el('span', { class: 'left', title: 'until it leaves memory, unless it is used' });
  const unload = {
    class: 'tiny',
    type: 'button',
    text: '×',
    title: `Unload ${name}`,
    'aria-label': `Unload ${name} from ${backend}`,
  };
  const node = el(
    'li',
    {},
    swatch,
    el('span', { class: 'model', text: modelText(name), title: name }),
    more,
    left,
    el('button', { ...unload, on: { click: () => askUnload(backend, name) } }),
  );
  return {
    node,
    update(model) {
      const busy = state.backends.get(backend)?.in_flight_by_model[name] ?? 0;
      const onCpu = model.size_bytes > 0 ? Math.round((1 - model.vram_bytes / model.size_bytes) * 100) : 0;
      setText(more, [bytes(model.size_bytes), ...(onCpu > 1 ? [`${onCpu}% CPU`] : [])].join(' · '));
      setAttribute(more, 'title', model.context_length === null ? null : `context ${model.context_length}`);
      const ms = model.expires_at === null ? null : model.expires_at - now();
      setText(left, busy > 0 ? plural(busy, 'busy', 'busy') : ms === null ? '' : countdown(ms));
      left.classList.toggle('busy', busy > 0);
      left.classList.toggle('soon', busy === 0 && ms !== null && ms < SOON_MS);
    },
  };
}
