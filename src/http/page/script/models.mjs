/** Which model is where. What is installed is asked for when it may have changed; what is in memory comes with the events. */
import { askCell } from './actions.mjs';
import { byId, el, keyed, setAttribute, setText, table } from './dom.mjs';
import { bytes, modelText } from './format.mjs';
import { ask } from './gateway.mjs';
import { changed, state } from './state.mjs';

const words = {
  resident: 'in memory',
  'on-disk': 'on disk',
  missing: 'not there',
  excluded: 'on disk, but kept away by the configuration',
  unknown: 'not known yet',
};
const kept = { models: [], revision: null, isAsking: false, columns: '', grid: null };

export function drawModels() {
  if (byId('view-models').hidden) return;
  askAgain();
  const names = [...state.backends.keys()];
  if (kept.columns !== names.join('\n') || kept.grid === null) {
    kept.columns = names.join('\n');
    kept.grid = table([['Model'], ['Size', 'number'], ...names.map((name) => [name, 'at'])], 'matrix');
    byId('matrix').replaceChildren(kept.grid.node);
  }
  const wanted = byId('find-model').value.trim().toLowerCase();
  const found = kept.models.filter(({ name }) => name.toLowerCase().includes(wanted));
  setText(byId('models-count'), kept.models.length || '');
  keyed(
    kept.grid.body,
    found,
    ({ name }) => name,
    (model) => modelRow(model, names),
  );
  if (found.length === 0) {
    const text = kept.revision === null ? 'asking…' : 'No model is like that.';
    kept.grid.body.append(el('tr', {}, el('td', { class: 'none', text, colspan: names.length + 2 })));
  }
}

function askAgain() {
  if (kept.isAsking || kept.revision === state.modelsRevision) return;
  kept.isAsking = true;
  const revision = state.modelsRevision;
  ask('GET', 'models')
    .then(
      ({ models }) => {
        Object.assign(kept, { models, revision });
        state.modelNames = models.map(({ name }) => name);
      },
      // It is asked for again when something changes, or when the view is opened again.
      () => Object.assign(kept, { revision }),
    )
    .finally(() => {
      kept.isAsking = false;
      changed();
    });
}

function modelRow({ name }, backends) {
  const size = el('td', { class: 'number' });
  const cells = backends.map((backend) => cell(name, backend));
  const node = el('tr', {}, el('td', { text: modelText(name), title: name }), size, ...cells.map((one) => one.node));
  return {
    node,
    update(model) {
      setText(size, model.size_bytes === 0 ? '–' : bytes(model.size_bytes));
      for (const [index, backend] of backends.entries()) cells[index].update(model.on[backend]);
    },
  };
}

function cell(model, backend) {
  const dot = el('i');
  const shown = { state: 'unknown' };
  const button = el(
    'button',
    { type: 'button', class: 'cell', on: { click: () => askCell(model, backend, shown) } },
    dot,
  );
  return {
    node: el('td', { class: 'at' }, button),
    update(place = { state: 'missing', digest: null, differs: false }) {
      Object.assign(shown, place);
      const isWarm = state.backends.get(backend)?.resident?.some(({ name }) => name === model) === true;
      if (isWarm) shown.state = 'resident';
      else if (shown.state === 'resident') shown.state = 'on-disk';
      const digest =
        place.digest === null
          ? ''
          : ` (${place.digest.slice(0, 12)}${place.differs ? ', another than elsewhere' : ''})`;
      const text = `${model} on ${backend}: ${words[shown.state]}${digest}`;
      setAttribute(dot, 'class', `dot ${shown.state}${place.differs ? ' differs' : ''}`);
      setAttribute(button, 'aria-label', text);
      setAttribute(button, 'title', text);
    },
  };
}
