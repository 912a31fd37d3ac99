/** The page: its views, its keys, and what is drawn when. */
import { askCredential, askReload, setLogLevel } from './actions.mjs';
import { drawConfig, openConfig } from './config.mjs';
import { byId, el, setAttribute, setText } from './dom.mjs';
import { drawCards } from './fleet.mjs';
import { span } from './format.mjs';
import { listen } from './gateway.mjs';
import { drawModels } from './models.mjs';
import { drawOverview } from './overview.mjs';
import { drawRequests } from './requests.mjs';
import { changed, notePoints, now, onChange, state } from './state.mjs';

const views = [
  ['fleet', 'Fleet'],
  ['requests', 'Requests', 'find-request'],
  ['models', 'Models', 'find-model'],
  ['config', 'Config', 'find-option'],
];
const themes = ['auto', 'light', 'dark'];

function view() {
  const named = location.hash.slice(1);
  return views.some(([id]) => id === named) ? named : 'fleet';
}

function showView() {
  for (const [id] of views) byId(`view-${id}`).hidden = id !== view();
  for (const link of byId('views').children)
    setAttribute(link, 'aria-current', link.hash === `#${view()}` ? 'page' : null);
  if (view() === 'config') void openConfig();
  changed();
}

function draw() {
  drawLink();
  if (state.gateway === null) return;
  drawBanners();
  if (view() === 'fleet') {
    drawCards();
    drawOverview();
  }
  if (view() === 'fleet' || view() === 'requests') drawRequests();
  drawModels();
  setText(byId('version'), state.gateway.version);
  setText(byId('foot'), `policy ${state.gateway.policy} · up ${span(now() - state.startedAt)}`);
  const waiting = state.gateway.waiting > 0 ? ` · ${state.gateway.waiting} waiting` : '';
  document.title = `${state.gateway.in_flight} in flight${waiting} – Llamero`;
}

function drawLink() {
  setAttribute(byId('link'), 'class', `link ${state.link}`);
  setText(byId('link').lastElementChild, state.link === 'lost' ? 'reconnecting' : state.link);
  const isLost = state.link === 'lost';
  document.body.classList.toggle('stale', isLost && state.gateway !== null);
  byId('lost').hidden = !isLost;
  const age = state.heardAt === 0 ? '' : ` What is shown is ${span(Date.now() - state.heardAt)} old.`;
  setText(byId('lost'), `The connection to the gateway is lost; it is tried again.${age}`);
}

function drawBanners() {
  const simulated = [...state.backends.values()].filter((backend) => backend.simulated);
  byId('simulated').hidden = simulated.length === 0;
  const who =
    simulated.length === state.backends.size ? 'Every backend is' : `${simulated.map(({ name }) => name).join(', ')}:`;
  setText(byId('simulated').lastElementChild, `${who} built in; answers are made up.`);
  byId('unready').hidden = state.gateway.ready;
  setText(byId('unready'), `The gateway takes no requests: ${state.gateway.not_ready_reason ?? ''}.`);
}

function setTheme(theme) {
  setAttribute(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
  setText(byId('theme'), `Theme: ${theme}`);
  localStorage.setItem('llamero.theme', theme);
}

function nextTheme() {
  const current = localStorage.getItem('llamero.theme') ?? 'auto';
  setTheme(themes[(themes.indexOf(current) + 1) % themes.length]);
}

function onKey(event) {
  const isTyping = /^(?:INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) || byId('dialog').open;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const wanted = views[Number(event.key) - 1];
  if (wanted !== undefined) location.hash = wanted[0];
  if (event.key === 't') nextTheme();
  if (event.key !== '/') return;
  event.preventDefault();
  const [, , field] = views.find(([id]) => id === view());
  if (field === undefined) location.hash = 'requests';
  byId(field ?? 'find-request').focus();
}

byId('views').append(...views.map(([id, text]) => el('a', { href: `#${id}`, text })));
byId('theme').addEventListener('click', nextTheme);
byId('credential').addEventListener('click', () => {
  void askCredential('Changes need it where `admin.token` is set. It is kept until this tab is closed.');
});
byId('reload').addEventListener('click', () => {
  void askReload().then((isDone) => (isDone ? openConfig() : null));
});
byId('log-level').addEventListener('change', ({ target }) => void setLogLevel(target.value));
for (const field of ['find-request', 'find-model']) byId(field).addEventListener('input', changed);
byId('find-option').addEventListener('input', drawConfig);
addEventListener('hashchange', showView);
addEventListener('keydown', onKey);
setTheme(localStorage.getItem('llamero.theme') ?? 'auto');
onChange(draw);
showView();
// Countdowns and ages go on although nothing is told.
setInterval(() => {
  if (state.link === 'live') notePoints();
  changed();
}, state.tickMs);
void listen(() => askCredential('The gateway asks for the operator’s token (`admin.token`).'));
