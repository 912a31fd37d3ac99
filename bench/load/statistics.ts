/** The few figures a report needs. */

/** The median of several measurements and how far they lie apart. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Null for no measurements. */
export function summarise(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return { median: quantileOf(sorted, 0.5), min: sorted[0]!, max: sorted[sorted.length - 1]! };
}

/** The `q`-quantile (0..1) of values in ascending order, interpolated; NaN for none. */
export function quantileOf(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (position - below);
}

/** Collects samples between `start` and `stop`, without an allocation each. */
export class Samples {
  #values = new Float64Array(65_536);
  #count = 0;
  #collecting = false;

  start(): void {
    this.#count = 0;
    this.#collecting = true;
  }

  stop(): void {
    this.#collecting = false;
  }

  add(value: number): void {
    if (!this.#collecting) return;
    if (this.#count === this.#values.length) {
      const wider = new Float64Array(this.#values.length * 2);
      wider.set(this.#values);
      this.#values = wider;
    }
    this.#values[this.#count++] = value;
  }

  /** p50 and p99; null where nothing was collected. */
  quantiles(): { readonly p50: number; readonly p99: number } | null {
    if (this.#count === 0) return null;
    const sorted = this.#values.slice(0, this.#count).sort();
    return { p50: quantileOf(sorted, 0.5), p99: quantileOf(sorted, 0.99) };
  }
}

/** The order of visits of a round: there and back again, so that a drift of the machine falls on everyone alike. */
export function thereAndBack<T>(items: readonly T[]): T[] {
  return [...items, ...items.toReversed()];
}
