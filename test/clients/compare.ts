/** Where two observations differ. */

export interface Difference {
  /** As one would write it in code, e.g. `saw[0].message.content`. */
  readonly path: string;
  readonly direct: unknown;
  readonly gateway: unknown;
}

/** Everything counts: types, the order of members and what is left out. */
export function differences(direct: unknown, gateway: unknown, path = ''): readonly Difference[] {
  if (Object.is(direct, gateway)) return [];
  if (Array.isArray(direct) && Array.isArray(gateway)) {
    const shared = Math.min(direct.length, gateway.length);
    const found = Array.from({ length: shared }, (_, i) => differences(direct[i], gateway[i], `${path}[${i}]`)).flat();
    if (direct.length === gateway.length) return found;
    return [...found, { path: `${path}.length`, direct: direct.length, gateway: gateway.length }];
  }
  if (!isRecord(direct) || !isRecord(gateway)) return [{ path, direct, gateway }];
  const names = { direct: Object.keys(direct), gateway: Object.keys(gateway) };
  if (names.direct.join() !== names.gateway.join())
    return [
      { path: `keys of ${path}`, ...names },
      { path, direct, gateway },
    ];
  return names.direct.flatMap((name) =>
    differences(direct[name], gateway[name], path === '' ? name : `${path}.${name}`),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
