/** Numbers for objects that own references, which they must not keep alive; and who is told when one was collected. */

export class Objects {
  readonly #ids = new WeakMap<object, number>();
  readonly #collected: FinalizationRegistry<number>;
  #next = 1;
  // most calls ask for the same again
  #last: WeakRef<object> | null = null;
  #last_id = 0;

  constructor(collected: (id: number) => void) {
    this.#collected = new FinalizationRegistry(collected);
  }
  /** 0 for nobody. */
  id(object: object | null | undefined): number {
    if (!object) return 0;
    if (this.#last?.deref() === object) return this.#last_id;
    let id = this.#ids.get(object);
    if (id === undefined) {
      id = this.#next++;
      this.#ids.set(object, id);
      this.#collected.register(object, id);
    }
    this.#last = new WeakRef(object);
    this.#last_id = id;
    return id;
  }
}
