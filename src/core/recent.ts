/**
 * A table of bounded size, in order of last use. When it is full, the first whose entry may go makes room: those that something
 * still rests on stay, even if the table grows by them.
 */
export class Recent<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #most: number;
  readonly #mayGo: (value: V) => boolean;
  /** The last key of all; moving what is last already would build the table anew again and again. */
  #latest: K | undefined;

  constructor(most: number, mayGo: (value: V) => boolean) {
    this.#most = most;
    this.#mayGo = mayGo;
  }

  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  values(): Iterable<V> {
    return this.#entries.values();
  }

  /** Of a key that is not there. Returns the value. */
  add(key: K, value: V): V {
    if (this.#entries.size >= this.#most) this.#forgetOne();
    this.#entries.set(key, value);
    this.#latest = key;
    return value;
  }

  /** The key, which is there, has just been used. */
  touch(key: K): void {
    if (key === this.#latest) return;
    const value = this.#entries.get(key)!;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#latest = key;
  }

  #forgetOne(): void {
    for (const [key, value] of this.#entries) {
      if (!this.#mayGo(value)) continue;
      this.#entries.delete(key);
      return;
    }
  }
}
