/** A disk in the host's memory.  Models drivers/block/brd.c. */

import type { BlockDevice } from "../handle/bio.js";
import { to_bdev } from "../handle/cast.js";
import type { Machine } from "../handle/context.js";
import { ERR_PTR, type Errno } from "../handle/errno.js";
import { SECTOR_SIZE } from "../machine/limits.js";
import { machine_state } from "../machine/machine.js";
import { BlockDeviceState, type Backing } from "./bdev.js";

class Ram implements Backing {
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get size(): number {
    return this.#bytes.length;
  }
  read(position: number, to: Uint8Array): null {
    to.set(this.#bytes.subarray(position, position + to.length));
    return null;
  }
  write(position: number, from: Uint8Array): null {
    this.#bytes.set(from, position);
    return null;
  }
  close(): void {
    // the host takes it back
  }
}
/**
 * Makes a RAM disk full of zeroes.  Models brd_alloc().  The caller owns it: `using`, or the machine's end.
 *
 * @param bytes - its size, a multiple of 512 above 0
 * @returns EINVAL for another size, ENOMEM when the host has no room for it
 * @example
 * using disk = brd_alloc(machine, 1 << 20);
 */
export function brd_alloc(
  machine: Machine,
  bytes: number,
): BlockDevice | Errno<"EINVAL" | "ENOMEM"> {
  const state = machine_state(machine);
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % SECTOR_SIZE !== 0) {
    return ERR_PTR("EINVAL", `${bytes} bytes are not a number of sectors`);
  }
  try {
    return to_bdev(new BlockDeviceState(state, "ram0", new Ram(new Uint8Array(bytes))));
  } catch {
    return ERR_PTR("ENOMEM", `the host has no room for ${bytes} bytes`);
  }
}
