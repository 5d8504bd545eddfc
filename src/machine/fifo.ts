/** First in, first out, in constant time (ours): Array.shift() moves all the others. */

/** Taken items are forgotten together, when they are more than those that wait. */
const FEW = 1024;

export class Fifo<T> {
  #items: T[] = [];
  #first = 0;
  get length(): number {
    return this.#items.length - this.#first;
  }
  push(item: T): void {
    this.#items.push(item);
  }
  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (this.#first < this.#items.length) this.#first++;
    if (this.#first === this.#items.length) {
      this.#items = [];
      this.#first = 0;
    } else if (this.#first > FEW && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }
}
