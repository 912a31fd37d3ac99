/** Making and changing elements. Whatever is shown goes through `textContent`: names come from strangers. */

export const byId = (id) => document.getElementById(id);

/** `props`: `class`, `text`, `on` with listeners, else attributes; null and false are left out, true is an empty one. */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);
}

function filled(node, { text, on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false && value !== undefined) node.setAttribute(name, value === true ? '' : value);
  }
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  if (text !== undefined) node.textContent = text;
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Only when it is another: what does not change is neither laid out again nor read out again. */
export function setText(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

const made = new WeakMap();

/**
 * Makes the children of `parent` be one for each item, in order. `make(item)` gives a node, or a node and how to bring it up to date:
 * `{node, update}`. Nodes of items that stay are kept, and with them focus and scrolling.
 */
export function keyed(parent, items, keyOf, make) {
  const before = made.get(parent) ?? new Map();
  const after = new Map(items.map((item) => [keyOf(item), before.get(keyOf(item)) ?? asEntry(make(item))]));
  const staying = new Set([...after.values()].map(({ node }) => node));
  for (const child of Array.from(parent.childNodes)) if (!staying.has(child)) child.remove();
  let place = parent.firstChild;
  for (const item of items) {
    const { node, update } = after.get(keyOf(item));
    update(item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  made.set(parent, after);
}

function asEntry(result) {
  return result instanceof Node ? { node: result, update() {} } : result;
}

/** A table of which the head stays and the rows are `keyed`; `columns` are `[title, class]`. Returns the body. */
export function table(columns, more = '') {
  const head = columns.map(([title, kind = null]) => el('th', { class: kind, scope: 'col', text: title }));
  const body = el('tbody');
  const node = el(
    'div',
    { class: 'scroll' },
    el('table', { class: more }, el('thead', {}, el('tr', {}, ...head)), body),
  );
  return { node, body };
}
