// Runs a case on the model: the same memory, the same file, the same call.
import {
  blkdev_direct_IO,
  boot,
  brd_alloc,
  copy_from_user,
  copy_to_user,
  create_task,
  ERR_PTR,
  flush_work,
  iomap_dio_rw,
  iov_iter_init,
  iov_iter_ubuf,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  munmap,
  PROT_READ,
  PROT_WRITE,
  queue_limits_set,
  run_softirqs,
  shutdown,
  user_ptr_add,
  vmstat,
  type BlockDevice,
  type Errno,
  type Iomap,
  type IomapFile,
  type Machine,
  type Op,
  type Task,
  type UserAddr,
} from "user-page";
import { BLOCK, memory_of, PAGE, reach_of, type LiveCase } from "./case.js";
import { minus, type Pins } from "./counters.js";
import type { Extent } from "./extents.js";
import type { DiskLimits } from "./host.js";
import type { Contents } from "./kernel.js";
import type { Seen } from "./seen.js";

const MEMORY = 96 << 20;
const DISK = 32 << 20;
const STAGE = 1 << 20;
/** Cases a machine is used for. */
const CASES = 500;
/** What the disk holds where no file has data: it must never be seen. */
const GARBAGE = 0xee;

function must<T>(value: T): Exclude<T, Errno> {
  if (IS_ERR(value)) throw new Error((value as Errno).message);
  return value as Exclude<T, Errno>;
}
/** A file each of whose bytes lies at the same place of the disk. */
class ModelFile {
  size: number;
  readonly #disk: BlockDevice;
  readonly #extents: readonly Extent[];
  /** blocks whose bytes on the disk are the file's */
  readonly written = new Set<number>();
  constructor(disk: BlockDevice, size: number, extents: readonly Extent[]) {
    this.#disk = disk;
    this.size = size;
    this.#extents = extents;
    for (const { state, offset, bytes } of extents) {
      if (state === "data") this.#mark(offset, bytes);
    }
  }
  #mark(offset: number, bytes: number): void {
    for (let at = offset - (offset % BLOCK); at < offset + bytes; at += BLOCK) {
      this.written.add(at / BLOCK);
    }
  }
  #map(pos: number, length: number, op: Op): Iomap {
    const run = this.#extents.find(({ offset, bytes }) => pos < offset + bytes);
    if (!run) {
      const type = op === "REQ_OP_READ" ? "IOMAP_HOLE" : "IOMAP_UNWRITTEN";
      const offset = pos - (pos % BLOCK);
      const end = Math.ceil((pos + length) / BLOCK) * BLOCK;
      return { type, offset, length: end - offset, addr: offset };
    }
    const { offset, bytes, state } = run;
    // Blocks that a write gets for a hole are unwritten until it ended.
    const type =
      state === "data"
        ? "IOMAP_MAPPED"
        : state === "hole" && op === "REQ_OP_READ"
          ? "IOMAP_HOLE"
          : "IOMAP_UNWRITTEN";
    return { type, offset, length: bytes, addr: offset };
  }
  inode(): IomapFile {
    return {
      bdev: this.#disk,
      i_size: this.size,
      i_blocksize: BLOCK,
      iomap_begin: (pos, length, op) => {
        const map = this.#map(pos, length, op);
        const beyond = map.offset + map.length > DISK;
        return beyond ? ERR_PTR("ENOSPC", "the disk of the model is full") : map;
      },
      end_io: (pos, bytes) => {
        this.#mark(pos, bytes);
        this.size = Math.max(this.size, pos + bytes);
      },
    };
  }
}
export class Model {
  readonly #limits: DiskLimits;
  readonly #contents: Contents;
  readonly #debug: boolean;
  #world: World | null = null;
  #left = 0;
  #lost_pages = 0;
  constructor(limits: DiskLimits, contents: Contents, debug = false) {
    this.#limits = limits;
    this.#contents = contents;
    this.#debug = debug;
  }
  run(one: LiveCase, extents: readonly Extent[]): Seen {
    if (this.#world === null || this.#left-- === 0) {
      this.close();
      this.#world = new World(this.#limits, this.#contents, this.#debug);
      this.#left = CASES;
    }
    try {
      return this.#world.run(one, extents);
    } catch (error) {
      this.#left = 0; // the next case gets another machine
      throw error;
    }
  }
  close(): void {
    this.#lost_pages += this.#world?.close() ?? 0;
    this.#world = null;
  }
  /** Pages that did not come back to the machines that were closed. */
  get lost_pages(): number {
    return this.#lost_pages;
  }
}
class World {
  readonly #machine: Machine;
  readonly #current: Task;
  readonly #disk: BlockDevice;
  readonly #contents: Contents;
  readonly #stage: UserAddr;
  constructor(limits: DiskLimits, contents: Contents, debug: boolean) {
    this.#contents = contents;
    this.#machine = boot({ mem: MEMORY, CONFIG_DEBUG_USER_PAGE_REFERENCES: debug });
    this.#current = create_task(this.#machine);
    this.#disk = must(brd_alloc(this.#machine, DISK));
    must(queue_limits_set(this.#disk, limits));
    this.#stage = this.#mmap(STAGE);
  }
  #mmap(bytes: number): UserAddr {
    const type = MAP_PRIVATE | MAP_ANONYMOUS;
    return mmap(this.#current, null, bytes, PROT_READ | PROT_WRITE, type)._unsafeUnwrap();
  }
  run(one: LiveCase, extents: readonly Extent[]): Seen {
    const { layout, op, position, way } = one;
    const reach = reach_of(one);
    if (reach > DISK) throw new Error(`the case needs a disk of ${reach} bytes`);
    this.#fill(extents, layout.size, reach);
    const at = this.#memory(one);
    const file = new ModelFile(this.#disk, layout.size, extents);
    const dir = op === "read" ? ITER_DEST : ITER_SOURCE;
    const parts = one.iovs.map(([offset, len]) => ({
      iov_base: user_ptr_add(at, offset),
      iov_len: len,
    }));
    const [first] = parts;
    const iter =
      first && parts.length === 1
        ? iov_iter_ubuf(dir, first.iov_base, first.iov_len)
        : iov_iter_init(dir, parts);
    let result = "";
    const ended = (done: ReturnType<typeof iomap_dio_rw>): void => {
      result = done.isOk() ? String(done.value) : done.error.errno;
    };
    const iocb =
      way === "in flight" ? { ki_pos: position, ki_complete: ended } : { ki_pos: position };
    const before = this.#pins();
    const inode = file.inode();
    const options = { references: "per page", order: "complete first" } as const;
    const done = iomap_dio_rw(this.#current, iocb, iter, inode, options);
    if (!done.isOk() || done.value !== "EIOCBQUEUED") ended(done);
    const submitted = this.#pins();
    run_softirqs(this.#machine);
    flush_work(this.#machine);
    const end = this.#pins();
    const memory = this.#copy(at, memory_of(one));
    munmap(this.#current, at, memory_of(one))._unsafeUnwrap();
    return {
      pins:
        way === "in flight"
          ? [minus(submitted, before), minus(end, submitted)]
          : [minus(end, before)],
      result,
      memory,
      file: op === "read" ? null : this.#bytes(file, reach),
    };
  }
  #pins(): Pins {
    const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(this.#machine);
    return { acquired: nr_foll_pin_acquired, released: nr_foll_pin_released };
  }
  #memory(one: LiveCase): UserAddr {
    const at = this.#mmap(memory_of(one));
    const byte = new Uint8Array(1);
    for (let page = 0; page < one.pages.length; page++) {
      const state = one.pages[page];
      const addr = user_ptr_add(at, page * PAGE);
      if (state === "w") {
        copy_to_user(this.#current, addr, this.#contents.page(one, page))._unsafeUnwrap();
      } else if (state === "r") copy_from_user(this.#current, byte, addr)._unsafeUnwrap();
    }
    return at;
  }
  #copy(at: UserAddr, bytes: number): Uint8Array {
    const copy = new Uint8Array(bytes);
    copy_from_user(this.#current, copy, at)._unsafeUnwrap();
    return copy;
  }
  /** Through memory of its own: the model's disk has no other door. */
  #transfer(op: Op, position: number, bytes: number): void {
    const dir = op === "REQ_OP_READ" ? ITER_DEST : ITER_SOURCE;
    const iter = iov_iter_ubuf(dir, this.#stage, bytes);
    blkdev_direct_IO(this.#current, { ki_pos: position }, iter, this.#disk)._unsafeUnwrap();
  }
  #fill(extents: readonly Extent[], size: number, reach: number): void {
    const disk = new Uint8Array(reach).fill(GARBAGE);
    for (const { state, offset, bytes } of extents) {
      if (state === "data") disk.set(this.#contents.file(offset, bytes), offset);
    }
    // What is behind the end in its last block is zero.
    disk.fill(0, Math.min(size, reach), Math.min(Math.ceil(size / BLOCK) * BLOCK, reach));
    for (let at = 0; at < reach; at += STAGE) {
      const bytes = Math.min(STAGE, reach - at);
      copy_to_user(this.#current, this.#stage, disk.subarray(at, at + bytes))._unsafeUnwrap();
      this.#transfer("REQ_OP_WRITE", at, bytes);
    }
  }
  #bytes({ size, written }: ModelFile, reach: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(size, reach));
    for (let at = 0; at < reach; at += STAGE) {
      const len = Math.min(STAGE, reach - at);
      this.#transfer("REQ_OP_READ", at, len);
      bytes.set(this.#copy(this.#stage, len), at);
    }
    for (let at = 0; at < bytes.length; at += BLOCK) {
      if (!written.has(at / BLOCK)) bytes.fill(0, at, at + BLOCK);
    }
    return bytes.subarray(0, size);
  }
  /** Pages that did not come back. */
  close(): number {
    return shutdown(this.#machine).lost_pages;
  }
}
