/** A disk backed by a file of the host.  Models drivers/block/loop.c. */

import { closeSync, constants, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import type { BlockDevice } from "../handle/bio.js";
import { to_bdev } from "../handle/cast.js";
import type { Machine } from "../handle/context.js";
import { ERR_PTR, type OpenError } from "../handle/errno.js";
import { PAGE_SIZE, SECTOR_SIZE } from "../machine/limits.js";
import { machine_state } from "../machine/machine.js";
import { BlockDeviceState, type Backing } from "./bdev.js";

/** loop_configure(): do not open the file for writing; writes fail with EIO then. */
export const LO_FLAGS_READ_ONLY = 1;
/** loop_configure(): bypass the host's page cache where the host can. */
export const LO_FLAGS_DIRECT_IO = 16;
const FLAGS = [
  0,
  LO_FLAGS_READ_ONLY,
  LO_FLAGS_DIRECT_IO,
  LO_FLAGS_READ_ONLY | LO_FLAGS_DIRECT_IO,
] as const;

function message_of(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
function code_of(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
/** What a host says that has no direct I/O for this file, or not this transfer. */
function is_refusal(error: unknown): boolean {
  return ["EINVAL", "EOPNOTSUPP", "ENOTSUP"].includes(code_of(error));
}
const move = (op: "read" | "write", fd: number, bytes: Uint8Array, position: number): number =>
  op === "read"
    ? readSync(fd, bytes, 0, bytes.length, position)
    : writeSync(fd, bytes, 0, bytes.length, position);

// --- around the page cache of the host ------------------------------------------------------------------------
declare const WebAssembly: {
  readonly Memory: new (size: typeof BOUNCE) => { readonly buffer: ArrayBuffer };
};
/** 1 MiB: WebAssembly counts in 64 KiB. */
const BOUNCE = { initial: 16, maximum: 16 } as const;
/** Not on every host, whatever its type says. */
function o_direct(): number | undefined {
  return constants.O_DIRECT;
}
/**
 * The file, opened a second time.  The host's device wants memory that begins at a block or page boundary, as
 * WebAssembly's does and a chunk of model memory does not: everything goes through some of that.
 */
class DirectFile {
  readonly #fd: number;
  readonly #bounce: Uint8Array;
  /** bytes: positions and lengths are multiples of it */
  readonly block: number;
  /** Throws what the host throws when it refuses. */
  constructor(path: string, access: number) {
    const flag = o_direct();
    if (flag === undefined) throw new Error("it has no O_DIRECT");
    this.#bounce = new Uint8Array(new WebAssembly.Memory(BOUNCE).buffer);
    this.#fd = openSync(path, access | flag);
    try {
      this.block = this.#find_block();
    } catch (error) {
      this.close();
      throw error;
    }
  }
  /** The smallest read that the host takes; every read of less than a block is refused. */
  #find_block(): number {
    for (let block = SECTOR_SIZE; ; block *= 2) {
      try {
        move("read", this.#fd, this.#bounce.subarray(0, block), 0);
        return block;
      } catch (error) {
        if (block === PAGE_SIZE || !is_refusal(error)) throw error;
      }
    }
  }
  /** How many of the next `len` bytes can be moved at once; 0 where only the page cache is fine enough. */
  takes(position: number, len: number): number {
    if (position % this.block !== 0) return 0;
    return Math.min(len - (len % this.block), this.#bounce.length);
  }
  move(op: "read" | "write", bytes: Uint8Array, position: number): number {
    const bounce = this.#bounce.subarray(0, bytes.length);
    if (op === "write") bounce.set(bytes);
    const moved = move(op, this.#fd, bounce, position);
    if (op === "read") bytes.set(bounce.subarray(0, moved));
    return moved;
  }
  close(): void {
    closeSync(this.#fd);
  }
}

// --- the disk -------------------------------------------------------------------------------------------------
class HostFile implements Backing {
  readonly #fd: number;
  readonly size: number;
  readonly #writable: boolean;
  readonly #log: (line: string) => void;
  #direct: DirectFile | null = null;
  constructor(fd: number, size: number, writable: boolean, log: (line: string) => void) {
    this.#fd = fd;
    this.size = size;
    this.#writable = writable;
    this.#log = log;
  }
  /** The host may refuse now or at a transfer: the page cache takes over then, and the log says which it is. */
  use_direct(path: string): void {
    try {
      this.#direct = new DirectFile(path, this.#writable ? constants.O_RDWR : constants.O_RDONLY);
      this.#log(`direct I/O in blocks of ${this.#direct.block} bytes`);
    } catch (error) {
      this.#use_buffered(error);
    }
  }
  #use_buffered(error: unknown): void {
    this.#direct?.close();
    this.#direct = null;
    this.#log(`buffered I/O, no O_DIRECT here: ${message_of(error)}`);
  }
  /** As many bytes as go the same way: whole blocks around the page cache, what is cut from a block through it. */
  #move(op: "read" | "write", bytes: Uint8Array, position: number): number {
    if (!this.#direct) return move(op, this.#fd, bytes, position);
    const { block } = this.#direct;
    const whole = this.#direct.takes(position, bytes.length);
    if (whole === 0) {
      return move(op, this.#fd, bytes.subarray(0, block - (position % block)), position);
    }
    try {
      return this.#direct.move(op, bytes.subarray(0, whole), position);
    } catch (error) {
      if (!is_refusal(error)) throw error;
      this.#use_buffered(error);
      return move(op, this.#fd, bytes, position);
    }
  }
  /** The last sector of a file may be short; what is missing reads as zeroes. */
  read(position: number, to: Uint8Array): string | null {
    try {
      for (let done = 0; done < to.length;) {
        const got = this.#move("read", to.subarray(done), position + done);
        if (got === 0) {
          to.fill(0, done);
          break;
        }
        done += got;
      }
      return null;
    } catch (error) {
      return message_of(error);
    }
  }
  write(position: number, from: Uint8Array): string | null {
    if (!this.#writable) return "the disk is read-only";
    try {
      for (let done = 0; done < from.length;) {
        done += this.#move("write", from.subarray(done), position + done);
      }
      return null;
    } catch (error) {
      return message_of(error);
    }
  }
  close(): void {
    this.#direct?.close();
    this.#direct = null;
    // What went around the page cache waits in the device: this is for both ways.
    if (this.#writable) fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}
const HOST_ERRNO = {
  ENOENT: "ENOENT",
  EACCES: "EACCES",
  EPERM: "EACCES",
  EROFS: "EACCES",
} as const;

/**
 * Opens a file of the host as a disk.  The caller owns it: `using`, or the machine's end.
 *
 * With LO_FLAGS_DIRECT_IO, `dmesg(machine)` has one line that says whether it is used, `loop: disk.img: direct I/O in
 * blocks of 512 bytes` or `loop: disk.img: buffered I/O, …` and why, and the latter too if the host refuses later on.
 * Bytes and sizes are the same either way.  Models LOOP_CONFIGURE of loop.c.
 *
 * @param path - an existing file that is not empty; its size is rounded up to sectors
 * @param lo_flags - LO_FLAGS_READ_ONLY: writes fail with EIO; LO_FLAGS_DIRECT_IO: O_DIRECT, where the host has it
 * @returns ENOENT, EACCES or EIO as the host says; EINVAL for an empty file, what is no file, or other flags
 * @example
 * using disk = loop_configure(machine, "disk.img", LO_FLAGS_READ_ONLY | LO_FLAGS_DIRECT_IO);
 * if (IS_ERR(disk)) return disk;
 */
export function loop_configure(
  machine: Machine,
  path: string,
  lo_flags = 0,
): BlockDevice | OpenError {
  const state = machine_state(machine);
  if (!FLAGS.includes(lo_flags)) {
    return ERR_PTR("EINVAL", `${String(lo_flags)} are no flags of a loop device`);
  }
  const writable = (lo_flags & LO_FLAGS_READ_ONLY) === 0;
  try {
    // Looked at before it is opened: a pipe would be waited for.
    const file = statSync(path);
    const { size } = file;
    if (!file.isFile() || size === 0) {
      return ERR_PTR("EINVAL", `${path} is empty or no file`);
    }
    const fd = openSync(path, writable ? "r+" : "r");
    const bytes = Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE;
    const backing = new HostFile(fd, bytes, writable, (line) => {
      state.printk(`loop: ${path}: ${line}`);
    });
    if (lo_flags & LO_FLAGS_DIRECT_IO) backing.use_direct(path);
    return to_bdev(new BlockDeviceState(state, path, backing));
  } catch (error) {
    const code = code_of(error);
    const errno = code in HOST_ERRNO ? HOST_ERRNO[code as keyof typeof HOST_ERRNO] : "EIO";
    return ERR_PTR(errno, message_of(error));
  }
}
