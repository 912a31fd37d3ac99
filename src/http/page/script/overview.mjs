/** What stands around the cards: the figures above them, pulls, and who waits and runs below. */
import { askCancel, cancelPull } from './actions.mjs';
import { byId, el, keyed, setAttribute, setText, table } from './dom.mjs';
import { bytes, modelText, pace, span } from './format.mjs';
import { sparkLine, summed } from './spark.mjs';
import { state } from './state.mjs';

/** Of the queue, served in this order; `standard` goes without saying. */
const bands = ['interactive', 'standard', 'batch'];

const tables = {
  queue: table([['Model'], ['Client'], ['Waiting', 'number'], ['Longest', 'number'], ['Refused in', 'number']]),
  active: table([['Model'], ['Backend'], ['Phase'], ['Client'], ['Tokens', 'number'], ['Age', 'number'], ['']]),
};
const total = { spark: sparkLine() };

export function drawOverview() {
  drawStats();
  drawPulls();
  setText(byId('queue-count'), state.queue.waiting || '');
  setText(byId('active-count'), state.requests.length || '');
  fill('queue', state.queue.rows, 'Nobody waits.', queueRow);
  fill('active', state.requests, 'Nothing is running.', activeRow);
}

/** A table, or a sentence where there is nothing to put in it. */
function fill(id, items, none, make) {
  const { body, node } = tables[id];
  const place = byId(id);
  keyed(body, items, (item) => item.id ?? JSON.stringify([item.model, item.client, item.priority]), make);
  if (items.length > 0 && node.parentNode !== place) place.replaceChildren(node);
  if (items.length === 0 && place.textContent !== none) place.replaceChildren(el('p', { class: 'none', text: none }));
}

function drawStats() {
  const backends = [...state.backends.values()];
  const up = backends.filter(({ state: of }) => of === 'up' || of === 'probation').length;
  const rate = backends.reduce((sum, backend) => sum + (backend.tokens_per_second ?? 0), 0);
  const warm = new Set(backends.flatMap(({ resident }) => (resident ?? []).map(({ name }) => name)));
  const vram = backends.flatMap(({ resident }) => resident ?? []).reduce((sum, model) => sum + model.vram_bytes, 0);
  const answered = state.history.filter(({ first_byte_ms: first, stream }) => stream && first !== null).slice(0, 50);
  const firsts = answered.map((request) => request.first_byte_ms).sort((a, b) => a - b);
  const [first, unit] = firsts.length === 0 ? ['–'] : span(firsts[Math.floor(firsts.length / 2)]).split(' ');
  const failed = state.history.filter(({ status }) => status >= 500).length;
  const rows = [
    ['Backends up', up, `of ${backends.length}`],
    ['In flight', state.gateway?.in_flight ?? 0, ''],
    ['Waiting', state.gateway?.waiting ?? 0, state.gateway === null ? '' : `of ${state.queue.limit}`],
    ['Tokens/s', pace(rate), '', total.spark.node],
    ['First token', first, firsts.length === 0 ? '' : `${unit}, median`],
    ['Warm models', warm.size, vram === 0 ? '' : bytes(vram)],
    ['Failed', failed, state.history.length === 0 ? '' : `of the last ${state.history.length}`],
  ];
  total.spark.update(summed([...state.rates.values()]));
  keyed(
    byId('stats'),
    rows,
    ([name]) => name,
    ([name, , , behind = null]) => {
      const value = el('span');
      const more = el('small');
      const node = el('div', { class: 'stat' }, behind, el('dt', { text: name }), el('dd', {}, value, more));
      return {
        node,
        update([, figure, words]) {
          setText(value, figure);
          setText(more, words);
        },
      };
    },
  );
}

function drawPulls() {
  const shown = state.pulls.filter(({ age_ms: age, state: of }) => of === 'running' || age < 600_000).slice(0, 6);
  byId('pulls').hidden = shown.length === 0;
  keyed(
    byId('pulls'),
    shown,
    ({ id }) => id,
    ({ backend, id, model }) => {
      const filled = el('i');
      const how = el('span', { class: 'how' });
      const stop = el('button', { class: 'tiny', type: 'button', text: 'Stop', on: { click: () => cancelPull(id) } });
      const bar = el(
        'div',
        {
          class: 'bar',
          role: 'progressbar',
          'aria-label': `Pull of ${model}`,
          'aria-valuemin': 0,
          'aria-valuemax': 100,
        },
        filled,
      );
      const what = el('span', { class: 'what', text: `${modelText(model)} → ${backend}` });
      const node = el('div', {}, what, bar, how, stop);
      return {
        node,
        update(pull) {
          const share =
            pull.state === 'succeeded'
              ? 100
              : pull.total_bytes > 0
                ? (pull.completed_bytes / pull.total_bytes) * 100
                : 0;
          setAttribute(node, 'class', `pull ${pull.state}`);
          filled.style.width = `${share}%`;
          setAttribute(bar, 'aria-valuenow', String(Math.round(share)));
          const layer =
            pull.total_bytes > 0 && pull.state === 'running'
              ? ` · ${bytes(pull.completed_bytes)} of ${bytes(pull.total_bytes)}`
              : '';
          setText(
            how,
            pull.state === 'running'
              ? `${pull.status}${layer}`
              : `${pull.state}${pull.state === 'failed' ? `: ${pull.status}` : ''}`,
          );
          stop.hidden = pull.state !== 'running';
        },
      };
    },
  );
}

function queueRow({ client, model, priority }) {
  const waiting = el('td', { class: 'number' });
  const longest = el('td', { class: 'number' });
  const refused = el('td', { class: 'number' });
  const who = priority === 1 ? client : `${client} · ${bands[priority] ?? `priority ${priority}`}`;
  const node = el(
    'tr',
    {},
    el('td', { text: modelText(model) }),
    el('td', { text: who, title: client }),
    waiting,
    longest,
    refused,
  );
  return {
    node,
    update(row) {
      setText(waiting, row.waiting);
      setText(longest, span(row.longest_ms));
      setText(refused, span(Math.max(0, row.soonest_refusal_ms)));
    },
  };
}

function activeRow({ client, id, model, route }) {
  const backend = el('td');
  const phase = el('span', { class: 'chip' });
  const tokens = el('td', { class: 'number' });
  const age = el('td', { class: 'number' });
  const stop = el('button', {
    class: 'tiny',
    type: 'button',
    text: '×',
    title: 'End this request',
    'aria-label': `End request ${id}`,
    on: { click: () => askCancel(id) },
  });
  const cells = [el('td', {}, phase), el('td', { text: client, title: client }), tokens, age, el('td', {}, stop)];
  const node = el('tr', { title: `${route} · ${id}` }, el('td', { text: modelText(model) }), backend, ...cells);
  return {
    node,
    update(request) {
      setText(backend, request.backend ?? '–');
      setText(phase, request.phase);
      setAttribute(phase, 'class', `chip ${request.phase}`);
      setText(tokens, request.output_tokens || '–');
      setText(age, span(request.age_ms));
    },
  };
}
