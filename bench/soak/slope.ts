/** The slope of a line through points, by least squares. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** In units of y per unit of x; 0 for fewer than two different x. */
export function slopeOf(points: readonly Point[]): number {
  const meanX = mean(points.map(({ x }) => x));
  const meanY = mean(points.map(({ y }) => y));
  let both = 0;
  let squares = 0;
  for (const { x, y } of points) {
    both += (x - meanX) * (y - meanY);
    squares += (x - meanX) ** 2;
  }
  return squares === 0 ? 0 : both / squares;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
