// The one file of a scenario, its page cache and its descriptor: which way a transfer goes.
import {
  iov_iter_advance,
  iov_iter_count,
  iov_iter_is_dest,
  iov_iter_is_source,
  iov_iter_zero,
  type BlockDevice,
  type Dir,
  type IovIter,
  type Op,
  type Task,
} from "user-page";
import { btrfs_io } from "./drivers/btrfs.js";
import { direct_io, iter_of, plain_file, type Outcome, type UserPart } from "./drivers/file.js";
import { PageCache } from "./drivers/page_cache.js";
import type { FileLayout, Scenario, Target, UnpinnedCall } from "./scenario.js";

type Buffered = Extract<UnpinnedCall, { call: "buffered io" }>["target"];

/** Both swallow what is written; of memory that is only swallowed no byte is looked at. */
function device_io(
  current: Task,
  device: "/dev/null" | "/dev/zero",
  iter: IovIter<Dir, "user">,
): Outcome {
  const count = iov_iter_count(iter);
  if (iov_iter_is_dest(iter)) {
    if (device === "/dev/null") return 0;
    const zeroed = iov_iter_zero(count, iter, current);
    return zeroed.isOk() ? zeroed.value : zeroed.error.errno;
  }
  iov_iter_advance(iter, count);
  return count;
}
export class OpenFile {
  readonly #disk: BlockDevice;
  readonly #file_system: Scenario["file_system"];
  /** the descriptor, and requests that are under way */
  #users = 1;
  #closed = false;
  #cache: PageCache | null = null;

  constructor(disk: BlockDevice, file_system: Scenario["file_system"]) {
    this.#disk = disk;
    this.#file_system = file_system;
  }
  #layout(target: Target): FileLayout {
    if (target === "tmpfs") return { size: 0, extents: [] };
    return typeof target === "object" ? target : plain_file(this.#disk);
  }
  cache(target: Target): PageCache {
    const disk = target === "tmpfs" ? null : this.#disk;
    return (this.#cache ??= new PageCache(disk, this.#layout(target)));
  }
  /** One call with O_DIRECT; null when `told` is going to be told. */
  direct_io(
    current: Task,
    target: Target,
    op: Op,
    parts: readonly UserPart[],
    pos: number,
    told?: (outcome: Outcome) => void,
  ): Outcome | null {
    if (this.#closed) throw new Error("the descriptor is closed");
    if (target === "tmpfs") return this.buffered_io(current, target, op, parts, pos);
    if (target !== "block device" && this.#file_system === "btrfs") {
      const iter = iter_of(op, parts);
      return btrfs_io(current, this.#disk, this.cache(target), this.#layout(target), iter, pos);
    }
    // Direct I/O goes around the cache: what is dirty there comes first, and what is overwritten leaves.
    const failed = this.#cache?.write_and_wait(current) ?? null;
    if (failed) return failed;
    if (op === "REQ_OP_WRITE") this.#cache?.invalidate();
    if (!told) return direct_io(current, this.#disk, target, op, parts, pos);
    this.#users++;
    const done = direct_io(current, this.#disk, target, op, parts, pos, (outcome) => {
      this.#put();
      told(outcome);
    });
    if (done !== null) this.#put();
    return done;
  }
  /** One call without it. */
  buffered_io(
    current: Task,
    target: Buffered,
    op: Op,
    parts: readonly UserPart[],
    pos: number,
  ): Outcome {
    const iter = iter_of(op, parts);
    if (target === "/dev/null" || target === "/dev/zero") {
      return device_io(current, target, iter);
    }
    const cache = this.cache(target);
    if (iov_iter_is_dest(iter)) return cache.read(current, iter, pos);
    return iov_iter_is_source(iter) ? cache.write(current, iter, pos) : "EINVAL";
  }
  /** Models close(2): a request that is under way keeps the file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#put();
  }
  #put(): void {
    if (--this.#users > 0) return;
    this.#cache?.drop();
    this.#cache = null;
  }
}
