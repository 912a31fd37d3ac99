/** The short form of a backend, as in `--backend`, `LLAMERO_BACKENDS` and a plain string in the file's list. */

/**
 * `[name=]URL[#key=value,…]` as the fields it stands for: `gpu1=http://10.0.0.2:11434#weight=2,slots=4`. A host without a
 * scheme is http, one without a port is Ollama's 11434. Numbers stay text where they are not numbers, so that validation
 * complains about them as it does everywhere else.
 */
export function parseBackendSpec(spec: string): Record<string, unknown> {
  const [, name, rest] = /^(?:([A-Za-z0-9][A-Za-z0-9._-]*)=)?(.*)$/s.exec(spec.trim())!;
  const hash = rest!.indexOf('#');
  const url = hash === -1 ? rest! : rest!.slice(0, hash);
  const fields: [string, unknown][] = [
    ...(name === undefined ? [] : [['name', name] as [string, unknown]]),
    ['url', completeUrl(url)],
  ];
  const options = hash === -1 ? '' : rest!.slice(hash + 1);
  for (const pair of options.split(/[,&]/)) {
    if (pair.trim() === '') continue;
    const equals = pair.indexOf('=');
    const key = (equals === -1 ? pair : pair.slice(0, equals)).trim();
    fields.push([key, equals === -1 ? true : literal(pair.slice(equals + 1).trim())]);
  }
  // Not by assignment: a `__proto__` is a field like any other, and validation refuses it.
  return Object.fromEntries(fields);
}

/**
 * Several, separated by commas, semicolons or blanks. A comma inside the `#` options goes on with them when what follows
 * is `key=value` and the value is not an address.
 */
export function splitBackendSpecs(text: string): string[] {
  const specs: string[] = [];
  for (const group of text.split(/[;\s]+/)) {
    let open = false;
    for (const piece of group.split(',')) {
      if (piece === '') continue;
      if (open && /^[A-Za-z.]+=(?!.*:\/\/)(?!.*:[0-9]+(?:[/#]|$))/.test(piece)) specs.push(`${specs.pop()},${piece}`);
      else specs.push(piece);
      open = specs.at(-1)!.includes('#');
    }
  }
  return specs;
}

/** Adds the scheme and the port Ollama's own clients assume when they are left out. */
export function completeUrl(text: string): string {
  if (text === '' || /^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  const host = /^(?:\[[^\]]*\]|[^:/?#]*)/.exec(text)![0];
  const rest = text.slice(host.length);
  return /^:[0-9]/.test(rest) ? `http://${text}` : `http://${host}:11434${rest}`;
}

function literal(text: string): unknown {
  if (/^-?[0-9]+(?:\.[0-9]+)?$/.test(text)) return Number(text);
  return text === 'true' ? true : text === 'false' ? false : text;
}
