/** A queue that gives the least first, in logarithmic time (ours). */

export class Heap<T> {
  readonly #items: T[] = [];
  readonly #less: (a: T, b: T) => boolean;
  constructor(less: (a: T, b: T) => boolean) {
    this.#less = less;
  }
  /** The least; it stays. */
  get least(): T | undefined {
    return this.#items[0];
  }
  push(item: T): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#less(item, items[above]!)) break;
      items[at] = items[above]!;
      at = above;
    }
    items[at] = item;
  }
  /** Takes the least. */
  pop(): T | undefined {
    const items = this.#items;
    const least = items[0];
    const item = items.pop();
    if (item === undefined || items.length === 0) return least;
    let at = 0;
    for (let below = 1; below < items.length; below = 2 * at + 1) {
      if (below + 1 < items.length && this.#less(items[below + 1]!, items[below]!)) below++;
      if (!this.#less(items[below]!, item)) break;
      items[at] = items[below]!;
      at = below;
    }
    items[at] = item;
    return least;
  }
}
