/** Numbers for strings that come again and again: calls and contexts.  0 is the empty one. */

export class Names {
  readonly #names: string[] = [""];
  readonly #ids = new Map<string, number>();
  // most calls ask for the same again
  #last = "";
  #last_id = 0;
  /** @param first - those that have the smallest numbers */
  constructor(first: readonly string[] = []) {
    for (const name of first) this.id(name);
  }

  of(id: number): string {
    return this.#names[id] ?? "";
  }
  id(name: string): number {
    if (name === this.#last) return this.#last_id;
    let id = name === "" ? 0 : this.#ids.get(name);
    if (id === undefined) {
      id = this.#names.push(name) - 1;
      this.#ids.set(name, id);
    }
    this.#last = name;
    this.#last_id = id;
    return id;
  }
}
