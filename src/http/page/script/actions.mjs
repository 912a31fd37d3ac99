/** What an operator can have done. Each asks first where it costs something, and says how it went. */
import { byId, el } from './dom.mjs';
import { modelText } from './format.mjs';
import { ask, credential, setCredential } from './gateway.mjs';
import { state } from './state.mjs';

const TOAST_MS = 5000;

export function say(text, isBad = false) {
  const toast = el('div', { class: isBad ? 'toast bad' : 'toast', text });
  byId('toasts').append(toast);
  setTimeout(() => toast.remove(), TOAST_MS);
}

/** Does it, and again with a credential when one is asked for. True when it was done. */
export async function act(method, path, { body, done } = {}) {
  for (;;) {
    try {
      const answer = await ask(method, path, body);
      if (done !== undefined) say(typeof done === 'function' ? done(answer) : done);
      return true;
    } catch (error) {
      if (error.status !== 401) {
        say(error.message, true);
        return false;
      }
      if (!(await askCredential('The gateway asks for the operator’s token (`admin.token`).'))) return false;
    }
  }
}

const at = (backend) => `backends/${encodeURIComponent(backend)}`;

export function askDrain({ name, state: of }) {
  const isDraining = of === 'draining';
  return act('POST', `${at(name)}/${isDraining ? 'resume' : 'drain'}`, {
    done: isDraining ? `${name} takes requests again.` : `${name} gets no new requests; those it has finish.`,
  });
}

export function askUnload(backend, model) {
  return act('POST', `${at(backend)}/unload`, {
    body: { model },
    done: `${modelText(model)} has left the memory of ${backend}.`,
  });
}

export async function askCancel(id) {
  const sure = await confirmed('End this request?', `Its client gets an error. Request ${id}.`, 'End it');
  if (sure) await act('DELETE', `requests/${encodeURIComponent(id)}`, { done: 'The request was ended.' });
}

export function cancelPull(id) {
  return act('DELETE', `pulls/${encodeURIComponent(id)}`);
}

export async function askReload() {
  const isDone = await act('POST', 'reload', {
    done: ({ changes }) => ['The configuration was read again.', ...changes].join(' '),
  });
  return isDone;
}

export function setLogLevel(level) {
  return act('PUT', 'log', { body: { level }, done: `The log level is ${level} now.` });
}

/** Which model is to be pulled to a backend. */
export async function askPull(backend, model = '') {
  const warm = [...state.backends.values()].flatMap(({ resident }) => (resident ?? []).map(({ name }) => name));
  const known = [...new Set([...state.modelNames, ...warm])];
  const names = el('datalist', { id: 'model-names' }, ...known.map((name) => el('option', { value: name })));
  const input = el('input', {
    name: 'model',
    value: model,
    required: true,
    list: 'model-names',
    placeholder: 'llama3.2:3b',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const given = await form(
    `Pull a model to ${backend}`,
    [el('label', {}, document.createTextNode('Model'), input), names],
    ['Pull'],
  );
  if (given === null) return;
  const wanted = given.get('model').trim();
  await act('POST', `${at(backend)}/pull`, { body: { model: wanted }, done: `${backend} pulls ${wanted}.` });
}

export async function askSettings({ name, slots, weight }) {
  const weightInput = el('input', {
    name: 'weight',
    type: 'number',
    min: 0.1,
    max: 1000,
    step: 'any',
    value: weight,
    required: true,
  });
  const slotsInput = el('input', {
    name: 'slots',
    value: slots ?? 'auto',
    pattern: 'auto|[1-9][0-9]*',
    required: true,
    title: 'a whole number, or auto',
  });
  const fields = [
    el('p', { text: 'What is changed here counts until the configuration is reloaded.' }),
    el('label', {}, document.createTextNode('Weight: its share of the requests'), weightInput),
    el('label', {}, document.createTextNode('Slots: requests it may hold at once, or auto'), slotsInput),
  ];
  const given = await form(`Backend ${name}`, fields, ['Change', { name: 'Remove', kind: 'apart' }]);
  if (given === null) return;
  if (given.get('button') === 'Remove') {
    const sure = await confirmed(
      `Remove ${name}?`,
      'Requests under way finish. A reload of the configuration brings it back.',
      'Remove',
    );
    if (sure) await act('DELETE', at(name), { done: `${name} was removed.` });
    return;
  }
  const wanted = given.get('slots');
  const body = { weight: Number(given.get('weight')), slots: wanted === 'auto' ? 'auto' : Number(wanted) };
  await act('PATCH', at(name), { body, done: `${name} was changed.` });
}

/** What can be done about a model on a backend. */
export async function askCell(model, backend, { differs, digest, state: of }) {
  const isThere = of !== 'missing' && of !== 'unknown';
  const choices = isThere
    ? [of === 'resident' ? 'Unload' : 'Load', 'Pull again', { name: 'Delete', kind: 'apart' }]
    : ['Pull here'];
  const words = isThere
    ? `It is ${of === 'resident' ? 'in memory' : 'on disk'} there${digest === null ? '' : `, with digest ${digest.slice(0, 12)}`}.`
    : 'It is not there.';
  const warning = differs
    ? el('p', { text: 'Other backends have another digest under this name: pulling again makes them the same.' })
    : null;
  const given = await form(`${modelText(model)} on ${backend}`, [el('p', { text: words }), warning], choices);
  switch (given?.get('button')) {
    case 'Load':
      say(`${backend} loads ${modelText(model)}…`);
      await act('POST', `${at(backend)}/load`, { body: { model }, done: `${modelText(model)} is warm on ${backend}.` });
      break;
    case 'Unload':
      await askUnload(backend, model);
      break;
    case 'Pull again':
    case 'Pull here':
      await act('POST', `${at(backend)}/pull`, { body: { model }, done: `${backend} pulls ${modelText(model)}.` });
      break;
    case 'Delete':
      await askDelete(model, backend);
      break;
    default:
  }
}

async function askDelete(model, backend) {
  const others = [...state.backends.values()].filter(({ name }) => name !== backend).length;
  const words = `To have it back it must be downloaded again.${others > 0 ? ' Other backends keep theirs.' : ''}`;
  const sure = await confirmed(`Delete ${modelText(model)} from ${backend}?`, words, 'Delete');
  if (!sure) return;
  const path = `${at(backend)}/models/${encodeURIComponent(model)}`;
  await act('DELETE', path, { done: `${modelText(model)} was deleted from ${backend}.` });
}

/** True when another was given. */
export async function askCredential(words) {
  const input = el('input', { name: 'token', type: 'password', autocomplete: 'off', value: credential() });
  const fields = [el('p', { text: words }), el('label', {}, document.createTextNode('Token'), input)];
  const given = await form('Operator’s token', fields, ['Use', { name: 'Forget', kind: 'apart' }]);
  if (given === null) return false;
  setCredential(given.get('button') === 'Forget' ? '' : given.get('token').trim());
  return true;
}

async function confirmed(title, words, yes) {
  const given = await form(title, [el('p', { text: words })], [{ name: yes, kind: 'main danger' }]);
  return given !== null;
}

/** Resolves with the fields, and the name of the button under `button`; null when it was closed. */
function form(title, fields, buttons) {
  const dialog = byId('dialog');
  if (dialog.open) return Promise.resolve(null);
  const { promise, resolve } = Promise.withResolvers();
  const made = buttons.map((button, index) => {
    const { kind, name } = typeof button === 'string' ? { name: button, kind: index === 0 ? 'main' : '' } : button;
    return el('button', { class: kind, value: name, text: name, formnovalidate: kind === 'apart' });
  });
  const keep = el('button', { type: 'button', text: 'Cancel', on: { click: () => dialog.close() } });
  const body = el(
    'form',
    {},
    el('h2', { id: 'dialog-title', text: title }),
    ...fields.filter((field) => field !== null),
  );
  const [first, ...others] = made;
  body.append(el('div', { class: 'buttons' }, ...others, keep, first));
  body.addEventListener('submit', (event) => {
    event.preventDefault();
    const given = new FormData(body);
    given.set('button', event.submitter?.value ?? first.value);
    resolve(given);
    dialog.close();
  });
  dialog.addEventListener('close', () => resolve(null), { once: true });
  dialog.replaceChildren(body);
  dialog.showModal();
  return promise;
}
