/// <reference lib="esnext.disposable" preserve="true" />
/** A disk as the block layer sees it.  Models the part of struct block_device that a bio needs. */

import type { BlockDevice } from "../handle/bio.js";
import { throw_misuse, type MachineState } from "../machine/machine.js";

/** Where the bytes of a disk are. */
export interface Backing {
  /** bytes */
  readonly size: number;
  /** Fills `to` from byte `position`; what went wrong, or null. */
  read(position: number, to: Uint8Array): string | null;
  write(position: number, from: Uint8Array): string | null;
  close(): void;
}
export class BlockDeviceState {
  readonly machine: MachineState;
  readonly name: string;
  readonly backing: Backing;
  #open = true;
  readonly #at_exit = (): void => {
    this[Symbol.dispose]();
  };
  constructor(machine: MachineState, name: string, backing: Backing) {
    this.machine = machine;
    this.name = name;
    this.backing = backing;
    machine.at_exit.add(this.#at_exit);
  }
  get size(): number {
    return this.backing.size;
  }
  get open(): boolean {
    return this.#open;
  }
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.machine.at_exit.delete(this.#at_exit);
    this.backing.close();
  }
}
/** A disk as the library sees it, open. */
export function bdev_state(bdev: BlockDevice, called: string): BlockDeviceState {
  if (bdev instanceof BlockDeviceState && bdev.open) return bdev;
  throw_misuse("not-a-handle", called, "no open block device");
}
