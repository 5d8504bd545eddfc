// Runs a case on the kernel: Node's own calls, on memory that WebAssembly gives at the beginning of a page.
import fs from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BLOCK, memory_of, PAGE, reach_of, total_of, type LiveCase } from "./case.js";
import { minus, same, type Looks, type Pins } from "./counters.js";
import { runs_met, type Extent } from "./extents.js";
import { Files, fresh_memory } from "./files.js";
import { noise } from "./random.js";
import type { Seen } from "./seen.js";
import type { Throttle } from "./throttle.js";

const ARENA = 64 << 20;
const NOISE = 4 << 20;
/** What a request in flight does to the counters is done when they stand still that often. */
const STILL = 3;

/** The bytes of files and of memory before each case. */
export class Contents {
  readonly #file: Uint8Array;
  readonly #memory: Uint8Array;
  constructor(seed: number) {
    this.#file = noise(seed, NOISE);
    this.#memory = noise(seed + 1, NOISE);
  }
  /** Of whole blocks, from a block on. */
  file(offset: number, bytes: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let done = 0; done < bytes;) {
      const from = (offset + done) % NOISE;
      const part = this.#file.subarray(from, Math.min(NOISE, from + bytes - done));
      parts.push(part);
      done += part.length;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }
  /** Of the page of a case. */
  page(one: LiveCase, page: number): Uint8Array {
    const from = ((one.number * 7 + page) * PAGE) % NOISE;
    return this.#memory.subarray(from, from + PAGE);
  }
}
/** Memory that no case had before: what was never touched can be had of it once. */
class Arena {
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;
  take(bytes: number): Uint8Array {
    if (this.#used + bytes > this.#bytes.length) {
      this.#bytes = fresh_memory(Math.max(ARENA, bytes));
      this.#used = 0;
    }
    const from = this.#used;
    this.#used += bytes;
    return this.#bytes.subarray(from, from + bytes);
  }
}
type Call = (fd: number, parts: readonly Uint8Array[], position: number) => Promise<number>;
const CALLS: Readonly<Record<string, Call>> = {
  "read sync": (fd, [part], at) => Promise.resolve(fs.readSync(fd, part!, 0, part!.length, at)),
  "write sync": (fd, [part], at) => Promise.resolve(fs.writeSync(fd, part!, 0, part!.length, at)),
  "readv sync": (fd, parts, at) => Promise.resolve(fs.readvSync(fd, parts, at)),
  "writev sync": (fd, parts, at) => Promise.resolve(fs.writevSync(fd, parts, at)),
  "read async": (fd, [part], at) => told((done) => fs.read(fd, part!, 0, part!.length, at, done)),
  "write async": (fd, [part], at) => told((done) => fs.write(fd, part!, 0, part!.length, at, done)),
  "readv async": (fd, parts, at) => told((done) => fs.readv(fd, parts, at, done)),
  "writev async": (fd, parts, at) => told((done) => fs.writev(fd, parts, at, done)),
};
function told(
  call: (done: (error: NodeJS.ErrnoException | null, bytes: number) => void) => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    call((error, bytes) => (error ? reject(error) : resolve(bytes)));
  });
}
function errno_of(error: unknown): string {
  if (error instanceof Error && "code" in error && "syscall" in error) return String(error.code);
  throw error;
}
/** What a case left, and where the file's bytes were to be found or put. */
export interface After extends Pick<Seen, "memory" | "file"> {
  readonly extents: readonly Extent[];
}
/** A case that is ready to be called. */
export interface Prepared {
  /** Calls, and looks at the counters where asked; each call of a request in flight is looked at twice. */
  readonly call: (counters: Looks | null) => Promise<Pick<Seen, "pins" | "result">>;
  readonly after: () => Promise<After>;
}
export class Kernel {
  readonly #files: Files;
  readonly #contents: Contents;
  readonly #throttle: Throttle | null;
  readonly #arena: Arena = new Arena();
  /** the counters after the last case, and what was pinned for files by then */
  #last: { readonly now: Pins; readonly pinned: number } | null = null;
  constructor(folder: string, contents: Contents, throttle: Throttle | null) {
    this.#contents = contents;
    this.#throttle = throttle;
    this.#files = new Files(folder, (offset, bytes) => contents.file(offset, bytes));
  }
  get pinned(): number {
    return this.#files.pinned;
  }
  async prepare(one: LiveCase): Promise<Prepared> {
    const { layout, op, position } = one;
    const { fd, extents } = await this.#files.open(layout);
    const memory = this.#memory(one);
    const parts = one.iovs.map(([offset, len]) => memory.subarray(offset, offset + len));
    const way = one.way === "sync" ? "sync" : "async";
    const call = CALLS[`${op}${one.vector ? "v" : ""} ${way}`]!;
    const start = async (): Promise<string> => {
      try {
        return String(await call(fd, parts, position));
      } catch (error) {
        return errno_of(error);
      }
    };
    return {
      call: async (counters) => {
        if (one.way === "in flight") return this.#in_flight(start, counters);
        if (counters === null) return { pins: null, result: await start() };
        const before = this.#before(counters);
        const result = await start();
        const after = this.#now(counters);
        return { pins: [minus(after, before)], result };
      },
      after: () => this.#after(one, memory, extents),
    };
  }
  #now(counters: Looks): Pins {
    const now = counters.now();
    this.#last = { now, pinned: this.pinned };
    return now;
  }
  /** The counters, by the last look at them and what was pinned for files since: each look waits for all CPUs. */
  #before(counters: Looks): Pins {
    const last = this.#last;
    this.#last = null;
    if (last === null) return this.#now(counters);
    const pinned = this.pinned - last.pinned;
    return { acquired: last.now.acquired + pinned, released: last.now.released + pinned };
  }
  /** Looks at the counters before the next case, since others may have moved them. */
  forget(): void {
    this.#last = null;
  }
  #memory(one: LiveCase): Uint8Array {
    const memory = this.#arena.take(memory_of(one));
    let sum = 0;
    for (let page = 0; page < one.pages.length; page++) {
      const state = one.pages[page];
      if (state === "w") memory.set(this.#contents.page(one, page), page * PAGE);
      else if (state === "r") sum |= memory[page * PAGE]!;
    }
    if (sum !== 0) throw new Error("fresh memory is not zero");
    return memory;
  }
  async #in_flight(
    start: () => Promise<string>,
    counters: Looks | null,
  ): Promise<Pick<Seen, "pins" | "result">> {
    const throttle = this.#throttle;
    if (!throttle) throw new Error("no case in flight without a slow disk");
    throttle.slow();
    const before = counters && this.#before(counters);
    let result: string | null = null;
    const done = start().then((answer) => (result = answer));
    let pins: Pins[] | null = null;
    try {
      const submitted = before && (await standing(counters, before, () => result !== null));
      throttle.lift();
      await done;
      if (before && submitted) {
        pins = [minus(submitted, before), minus(this.#now(counters), submitted)];
      }
    } finally {
      throttle.lift();
    }
    return { pins, result: await done };
  }
  async #after(one: LiveCase, memory: Uint8Array, before: readonly Extent[]): Promise<After> {
    if (one.op === "read") return { memory, file: null, extents: before };
    const { layout, position } = one;
    const [from, end] = [position, position + total_of(one)];
    const file = this.#files.bytes(layout);
    const of_data = before.some(
      (run) => run.state === "data" && run.offset <= from && end <= run.offset + run.bytes,
    );
    const last = Math.ceil(end / BLOCK) * BLOCK;
    if (of_data && last <= layout.size && end > from) {
      this.#files.restore(layout, from - (from % BLOCK), last);
      return { memory, file, extents: before };
    }
    const now = await this.#files.extents(layout, reach_of(one));
    this.#files.spoil(layout);
    return { memory, file, extents: runs_met(before, now, reach_of(one)) };
  }
  async close(): Promise<void> {
    await this.#files.close();
  }
}
/** The counters once a request has moved them as far as it does, or was answered. */
async function standing(counters: Looks, before: Pins, is_done: () => boolean): Promise<Pins> {
  let last = before;
  // What pins nothing waits for the disk all the same, and moves no counter.
  for (let [still, looks] = [0, 0]; still < STILL && looks < 4 * STILL && !is_done(); looks++) {
    await sleep(2);
    const now = counters.now();
    still = same(now, last) && !same(now, before) ? still + 1 : 0;
    last = now;
  }
  return last;
}
