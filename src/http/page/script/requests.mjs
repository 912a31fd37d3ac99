/** Requests that have ended, and for each that is asked about why it went where it went. */
import { byId, el, keyed, setAttribute, setText, table } from './dom.mjs';
import { ago, modelText, pace, span } from './format.mjs';
import { ask } from './gateway.mjs';
import { now, state } from './state.mjs';

const LATEST = 8;
const columns = [
  ['When'],
  ['Model'],
  ['Backend'],
  ['Route'],
  ['Client'],
  ['Queue', 'number'],
  ['First token', 'number'],
  ['Took', 'number'],
  ['Tokens', 'number'],
  ['Tokens/s', 'number'],
  ['Outcome'],
];
const lists = { latest: table(columns), history: table(columns) };
const opened = new Set();
/** The rows as they were when one of them was opened: what somebody reads must not run away. */
const held = new Map();

export function drawRequests() {
  const since = held.get('history')?.requests[0]?.ended_at ?? Infinity;
  const newer = state.history.filter(({ ended_at: at }) => at > since).length;
  setText(byId('newer'), newer === 0 ? '' : `${newer} newer, once what is open is closed`);
  const none = 'Nothing has been asked yet. Point a client at the gateway, and it shows here.';
  show('latest', state.history.slice(0, LATEST), none, '');
  const wanted = byId('find-request').value.trim().toLowerCase();
  const found = state.history.filter((request) =>
    [request.model, request.backend, request.client, request.outcome, request.reason, request.id, request.route]
      .join(' ')
      .toLowerCase()
      .includes(wanted),
  );
  show('history', found, wanted === '' ? none : 'No request is like that.', wanted);
}

function show(id, newest, none, wanted) {
  const requests = steady(id, newest, wanted);
  const { body, node } = lists[id];
  const rows = requests.flatMap((request) => {
    const key = `${id} ${request.id} ${request.ended_at}`;
    const row = { key, request, id };
    return opened.has(key) ? [row, { ...row, key: `${key} told`, isStory: true }] : [row];
  });
  keyed(
    body,
    rows,
    ({ key }) => key,
    (row) => (row.isStory ? story(row.request) : requestRow(row)),
  );
  const place = byId(id);
  if (rows.length > 0 && node.parentNode !== place) place.replaceChildren(node);
  if (rows.length === 0 && place.textContent !== none) place.replaceChildren(el('p', { class: 'none', text: none }));
}

function steady(id, newest, wanted) {
  const isReading = [...opened].some((key) => key.startsWith(`${id} `));
  if (!isReading) held.delete(id);
  else if (held.get(id)?.wanted !== wanted) held.set(id, { wanted, requests: newest });
  return held.get(id)?.requests ?? newest;
}

function requestRow({ key, request }) {
  const when = el('td');
  const toggle = () => {
    if (opened.has(key)) opened.delete(key);
    else opened.add(key);
    drawRequests();
  };
  const onKey = (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    toggle();
  };
  const {
    backend,
    client,
    duration_ms: took,
    first_byte_ms: first,
    model,
    outcome,
    output_tokens: tokens,
    queue_ms: queue,
  } = request;
  const number = (text) => el('td', { class: 'number', text });
  const node = el(
    'tr',
    {
      class: 'can',
      tabindex: 0,
      role: 'button',
      title: `${request.route} · ${request.id}`,
      on: { click: toggle, keydown: onKey },
    },
    when,
    el('td', { text: modelText(model), title: model }),
    el('td', { text: backend ?? '–' }),
    el('td', {}, routeChip(request)),
    el('td', { text: client, title: client }),
    number(queue < 1 ? '–' : span(queue)),
    number(span(first)),
    number(span(took)),
    number(tokens ?? '–'),
    number(request.tokens_per_second === null ? '–' : pace(request.tokens_per_second)),
    el(
      'td',
      {},
      el('span', { class: `chip ${kindOf(request)}`, text: outcome === 'ok' ? String(request.status) : outcome }),
    ),
  );
  return {
    node,
    update() {
      setText(when, ago(now() - request.ended_at));
      setAttribute(node, 'aria-expanded', String(opened.has(key)));
    },
  };
}

function routeChip({ failovers, reason }) {
  if (reason === null) return el('span', { text: '–' });
  const text = failovers > 0 ? `${reason} · retried ${failovers}×` : reason;
  return el('span', { class: `chip ${reason}`, text });
}

function kindOf({ outcome, status }) {
  if (outcome === 'ok' && status < 400) return 'ok';
  return outcome === 'client-gone' || (status >= 400 && status < 500) ? 'gone' : 'failed';
}

/** Asked for once, when it is opened: the decisions are forgotten before the requests are. */
function story(request) {
  const cell = el('td', { colspan: columns.length }, el('p', { class: 'muted', text: 'asking…' }));
  ask('GET', `requests/${encodeURIComponent(request.id)}`).then(
    ({ decisions }) => cell.replaceChildren(told(request, decisions)),
    ({ message }) => cell.replaceChildren(el('p', { class: 'muted', text: message })),
  );
  return el('tr', { class: 'told' }, cell);
}

function told(request, decisions) {
  const facts = [
    ['request', request.id],
    ['route', request.route],
    ['attempts', request.attempts],
    ['prompt', request.prompt_tokens === null ? '–' : `${request.prompt_tokens} tokens`],
    ['until its model could begin', span(request.load_ms)],
    ['model was', request.warm === null ? '–' : request.warm ? 'warm' : 'cold'],
  ];
  const figures = facts.map(([name, value]) => el('span', {}, document.createTextNode(name), el('b', { text: value })));
  const parts = [...decisions].reverse().map(decision);
  if (parts.length === 0) {
    const why = 'No decision about it is remembered; only the policy soonest explains itself, and not for ever.';
    parts.push(el('p', { class: 'muted', text: why }));
  }
  return el('div', { class: 'story' }, el('div', { class: 'figures' }, ...figures), ...parts);
}

function decision(one) {
  const words =
    one.kind === 'sent'
      ? `Sent to ${one.backend} after ${span(one.waited_ms)}: ${one.why}.`
      : `Held at most ${span(one.for_ms)} for ${one.backend} rather than sent to ${one.instead}: ${one.why}.`;
  const most = Math.max(1, ...one.candidates.map(({ total_ms: total }) => total));
  const rows = one.candidates.flatMap((candidate) => candidateCells(candidate, one.backend, most));
  const legend = el(
    'div',
    { class: 'legend' },
    ...[
      ['wait', 'waiting for a slot'],
      ['load', 'loading the model'],
      ['prefill', 'reading the prompt'],
    ].map(([part, text]) => el('span', {}, el('i', { class: `key part-${part}` }), document.createTextNode(text))),
    el('span', { text: 'predicted time to the first token' }),
  );
  const isWeighed = rows.length > 0;
  return el(
    'div',
    { class: 'story' },
    el('h3', { text: words }),
    isWeighed ? el('div', { class: 'candidates' }, ...rows) : null,
    isWeighed ? legend : null,
  );
}

function candidateCells(candidate, picked, most) {
  const parts = [
    ['wait', candidate.wait_ms],
    ['load', candidate.load_ms],
    ['prefill', candidate.prefill_ms],
  ];
  const bars = parts.map(([part, ms]) => {
    const bar = el('i', { class: `part-${part}`, title: `${part} ${span(ms)}` });
    bar.style.width = `${(ms / most) * 100}%`;
    return bar;
  });
  const { backend, cached_tokens: cached, free, phase, total_ms: total } = candidate;
  const words = [phase === 'ready' ? 'warm' : phase === 'absent' ? 'cold' : phase, free ? 'slot free' : 'slots taken'];
  if (cached > 0) words.push(`${cached} tokens cached`);
  return [
    el('span', { class: backend === picked ? 'picked' : null, text: backend === picked ? `${backend} ✓` : backend }),
    el('span', { class: 'muted', text: words.join(', ') }),
    el('div', { class: 'cost' }, ...bars),
    el('span', { class: 'number', text: span(total) }),
  ];
}
