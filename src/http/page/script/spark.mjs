/** Spark lines. */
import { svg } from './dom.mjs';

/** One for each point. */
const WIDTH = 120;
const HEIGHT = 36;

/** `update(points)`: numbers, oldest first; the newest stands at the right edge. */
export function sparkLine() {
  const area = svg('path', { class: 'area' });
  const line = svg('path', { class: 'line' });
  const frame = { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': true };
  return {
    node: svg('svg', frame, area, line),
    update(points) {
      const top = Math.max(1, ...points) * 1.1;
      const places = points.map((point, index) => {
        const x = WIDTH - (points.length - 1 - index);
        return `${x.toFixed(1)} ${(HEIGHT - 1 - (point / top) * (HEIGHT - 3)).toFixed(1)}`;
      });
      const path = places.length < 2 ? `M0 ${HEIGHT - 1}L${WIDTH} ${HEIGHT - 1}` : `M${places.join('L')}`;
      line.setAttribute('d', path);
      const from = places.length < 2 ? 0 : places[0].split(' ')[0];
      area.setAttribute('d', `${path}L${WIDTH} ${HEIGHT}L${from} ${HEIGHT}Z`);
    },
  };
}

/** The sum of several, aligned at their newest points. */
export function summed(lists) {
  const length = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length }, (_, index) =>
    lists.reduce((sum, list) => sum + (list[list.length - length + index] ?? 0), 0),
  );
}
