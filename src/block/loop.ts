/** A disk backed by a file of the host.  Models drivers/block/loop.c. */

import { closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from "node:fs";
import type { BlockDevice } from "../handle/bio.js";
import { to_bdev } from "../handle/cast.js";
import type { Machine } from "../handle/context.js";
import { ERR_PTR, type OpenError } from "../handle/errno.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import { machine_state } from "../machine/machine.js";
import { BlockDeviceState, type Backing } from "./bdev.js";

function message_of(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
class HostFile implements Backing {
  readonly #fd: number;
  readonly size: number;
  readonly #writable: boolean;
  constructor(fd: number, size: number, writable: boolean) {
    this.#fd = fd;
    this.size = size;
    this.#writable = writable;
  }
  /** The last sector of a file may be short; what is missing reads as zeroes. */
  read(position: number, to: Uint8Array): string | null {
    try {
      for (let done = 0; done < to.length;) {
        const got = readSync(this.#fd, to, done, to.length - done, position + done);
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
        done += writeSync(this.#fd, from, done, from.length - done, position + done);
      }
      return null;
    } catch (error) {
      return message_of(error);
    }
  }
  close(): void {
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
 * @param path - an existing file that is not empty; its size is rounded up to sectors
 * @param read_only - do not open it for writing; writes fail with EIO then
 * @returns ENOENT, EACCES or EIO as the host says; EINVAL for an empty file or what is no file
 * @example
 * using disk = loop_configure(machine, "disk.img", true);
 * if (IS_ERR(disk)) return disk;
 */
export function loop_configure(
  machine: Machine,
  path: string,
  read_only = false,
): BlockDevice | OpenError {
  const state = machine_state(machine);
  try {
    // Looked at before it is opened: a pipe would be waited for.
    const file = statSync(path);
    const { size } = file;
    if (!file.isFile() || size === 0) {
      return ERR_PTR("EINVAL", `${path} is empty or no file`);
    }
    const fd = openSync(path, read_only ? "r" : "r+");
    const sectors = Math.ceil(size / SECTOR_SIZE);
    const backing = new HostFile(fd, sectors * SECTOR_SIZE, !read_only);
    return to_bdev(new BlockDeviceState(state, path, backing));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const errno = code in HOST_ERRNO ? HOST_ERRNO[code as keyof typeof HOST_ERRNO] : "EIO";
    return ERR_PTR(errno, message_of(error));
  }
}
