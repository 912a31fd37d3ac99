/** What the gateway has told, and who wants to know when it changes. */

export const state = {
  /** `connecting`, `live` or `lost`. */
  link: 'connecting',
  gateway: null,
  /** In the order of the fleet. */
  backends: new Map(),
  queue: { waiting: 0, limit: 0, rows: [] },
  requests: [],
  history: [],
  pulls: [],
  modelsRevision: 0,
  /** Of all models that are installed somewhere, as far as they have been asked for. */
  modelNames: [],
  /** Tokens a second, oldest first, by backend. */
  rates: new Map(),
  /** The gateway's clock less this machine's, in ms. */
  skew: 0,
  startedAt: 0,
  tickMs: 500,
  heardAt: 0,
};

const MOST_HISTORY = 250;
/** Of a spark line: a minute. */
const POINTS = 120;
const listeners = new Set();
let isDue = false;

export function onChange(listener) {
  listeners.add(listener);
}

/** Draws in the next frame, once, however much has changed; at once where nobody sees frames. */
export function changed() {
  if (isDue) return;
  isDue = true;
  const draw = () => {
    isDue = false;
    for (const listener of listeners) listener();
  };
  if (document.hidden) setTimeout(draw, 200);
  else requestAnimationFrame(draw);
}

export function now() {
  return Date.now() + state.skew;
}

export function takeSnapshot(told) {
  state.backends = new Map(Object.entries(told.backends));
  state.history = told.history;
  state.rates = new Map(Object.entries(told.rates));
  state.tickMs = told.tick_ms;
  state.startedAt = told.now - told.uptime_ms;
  takeRest(told);
}

export function takeDelta(told) {
  for (const [name, backend] of Object.entries(told.backends ?? {})) {
    if (backend === null) state.backends.delete(name);
    else state.backends.set(name, backend);
  }
  if (told.history !== undefined) state.history = [...told.history, ...state.history].slice(0, MOST_HISTORY);
  takeRest(told);
}

function takeRest(told) {
  state.skew = told.now - Date.now();
  state.heardAt = Date.now();
  state.gateway = told.gateway ?? state.gateway;
  state.queue = told.queue ?? state.queue;
  state.requests = told.requests ?? state.requests;
  state.pulls = told.pulls ?? state.pulls;
  state.modelsRevision = told.models_revision ?? state.modelsRevision;
  changed();
}

/** One more point on every spark line. */
export function notePoints() {
  for (const name of state.rates.keys()) if (!state.backends.has(name)) state.rates.delete(name);
  for (const { name, tokens_per_second: rate } of state.backends.values()) {
    state.rates.set(name, [...(state.rates.get(name) ?? []), rate ?? 0].slice(-POINTS));
  }
}

export function setLink(link) {
  if (state.link === link) return;
  state.link = link;
  changed();
}
