/** What an application sees, without what differs from one request to the next: times, durations and random ids. */

const momentKeys = /^(?:created|created_at|completed_at|modified_at|expires_at)$/u;
const durationKeys = /_duration$/u;
const randomIds =
  /\b(chatcmpl|cmpl|msg|resp|rs|fc|call|toolu|req|run)([-_])[0-9A-Za-z]+(?:[-_][0-9a-f]+)*\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gu;

/**
 * A copy in which each moment and duration is a word for its kind, and each id a number in the order of appearance, so
 * that who refers to whom is kept.
 */
export function steady(value: unknown): unknown {
  const ids = new Map<string, string>();
  const text = (given: string): string =>
    given.replace(randomIds, (id, kind = 'uuid', mark = '-') => {
      const known = ids.get(id) ?? `${kind}${mark}#${ids.size + 1}`;
      ids.set(id, known);
      return known;
    });
  const walk = (given: unknown, key: string): unknown => {
    if (given === null || given === undefined) return given;
    if (momentKeys.test(key) && isMoment(given)) return `<moment, a ${typeof given}>`;
    if (durationKeys.test(key) && typeof given === 'number') return '<duration>';
    if (typeof given === 'string') return text(given);
    if (Array.isArray(given)) return given.map((each) => walk(each, ''));
    if (typeof given !== 'object') return given;
    return Object.fromEntries(Object.entries(given).map(([name, each]) => [name, walk(each, name)]));
  };
  return walk(value, '');
}

function isMoment(given: unknown): boolean {
  return typeof given === 'number' ? given > 1e9 : typeof given === 'string' && !Number.isNaN(Date.parse(given));
}
