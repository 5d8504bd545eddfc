// Runs the calls of a scenario that pin nothing.
import { MAP_ANONYMOUS, MAP_POPULATE, MAP_PRIVATE, mmap, PROT_READ, PROT_WRITE } from "user-page";
import type { Task, UserAddr } from "user-page";
import type { Outcome, UserPart } from "./drivers/file.js";
import { PageCache } from "./drivers/page_cache.js";
import { Pipe } from "./drivers/pipe.js";
import { futex_wake, mem_read, mlock, move_pages_query } from "./drivers/unpinned.js";
import { length_of } from "./memory.js";
import type { OpenFile } from "./open_file.js";
import type { Iov, Scenario, UnpinnedCall } from "./scenario.js";

/** What the splice of a file copy moves at once. */
const CHUNK = 65536;

export class UnpinnedCalls {
  readonly #scenario: Scenario;
  readonly #at: readonly UserAddr[];
  readonly #parts: (iov: Iov) => UserPart[];
  readonly #file: OpenFile;
  #pipe: Pipe | null = null;

  constructor(
    scenario: Scenario,
    at: readonly UserAddr[],
    parts: (iov: Iov) => UserPart[],
    file: OpenFile,
  ) {
    this.#scenario = scenario;
    this.#at = at;
    this.#parts = parts;
    this.#file = file;
  }
  do(current: Task, call: UnpinnedCall): Outcome {
    switch (call.call) {
      case "buffered io": {
        const { op, target, position } = call;
        return this.#file.buffered_io(current, target, op, this.#parts(call.iov), position);
      }
      case "copy file":
        return this.#copy(current, call.bytes);
      case "close":
        this.#file.close();
        return 0;
      case "vmsplice":
        return this.#pipe_for(current, call.iov.bytes).vmsplice(this.#parts(call.iov)[0]!);
      case "write pipe":
        return this.#pipe_for(current, call.iov.bytes).write(this.#parts(call.iov)[0]!);
      case "read pipe":
        return this.#pipe_for(current, 0).read(this.#parts(call.iov)[0]!, call.packet);
      case "splice":
        return this.#pipe_for(current, call.bytes).splice(this.#file.cache("file"), 0, call.bytes);
      case "futex wake":
        return futex_wake(current, this.#at[call.buffer]!, call.shared);
      case "read mem": {
        const [from, to] = [this.#at[call.from]!, this.#at[call.to]!];
        return mem_read(current, current.mm, from, to, this.#bytes(call.from));
      }
      case "mlock":
        return mlock(current, this.#at[call.buffer]!, this.#bytes(call.buffer));
      case "move_pages":
        return move_pages_query(current, this.#at[call.buffer]!, this.#bytes(call.buffer));
      case "mmap populate": {
        const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
        const mapped = mmap(current, null, call.bytes, PROT_READ | PROT_WRITE, flags);
        return mapped.isOk() ? 0 : mapped.error.errno;
      }
    }
  }
  /** Nothing may be held when all is over. */
  settle(): void {
    this.#pipe?.close();
    this.#file.close();
  }
  #bytes(buffer: number): number {
    return length_of(this.#scenario.buffers[buffer]!);
  }
  #pipe_for(current: Task, bytes: number): Pipe {
    return (this.#pipe ??= new Pipe(current, bytes));
  }
  /** Pages of one page cache through a pipe, bytes into the other: no user memory at all. */
  #copy(current: Task, bytes: number): Outcome {
    const pipe = this.#pipe_for(current, CHUNK);
    const to = new PageCache(null, { size: 0, extents: [] });
    try {
      for (let done = 0; done < bytes;) {
        const got = pipe.splice(this.#file.cache("file"), done, Math.min(CHUNK, bytes - done));
        if (typeof got === "string") return got;
        if (got === 0) break;
        const written = pipe.write_to(to, done, got);
        if (typeof written === "string") return written;
        done += written;
      }
      return to.i_size;
    } finally {
      to.drop();
    }
  }
}
