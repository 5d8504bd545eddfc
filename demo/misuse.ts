// Two of the mistakes, forced past the compiler: with debug mode, and without it.
import {
  boot,
  brd_alloc,
  copy_from_user,
  copy_to_user,
  create_task,
  direct_io,
  exit_task,
  IS_ERR,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MisuseError,
  mmap,
  munmap,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  run_softirqs,
  shutdown,
  type BlockDevice,
  type Machine,
  type Task,
  type UserAddr,
} from "user-page";
import type { Transfer } from "./transfer.js";

const PAGES = 64;
const LEN = PAGES * PAGE_SIZE;
const OLD = 0x11;
const ON_DISK = 0xdd;

interface Setting {
  readonly machine: Machine;
  readonly current: Task;
  readonly disk: BlockDevice;
  readonly buf: UserAddr;
}
function map_filled(current: Task, byte: number): UserAddr {
  const prot = PROT_READ | PROT_WRITE;
  const buf = mmap(current, null, LEN, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
  copy_to_user(current, buf, new Uint8Array(LEN).fill(byte))._unsafeUnwrap();
  return buf;
}
function set_up(debug: boolean): Setting {
  const machine = boot({ mem: 4 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: debug });
  const current = create_task(machine);
  const disk = brd_alloc(machine, LEN);
  if (IS_ERR(disk)) throw new Error(disk.message);
  return { machine, current, disk, buf: map_filled(current, OLD) };
}
/** What debug mode says when the mistaken transfer runs; null if it says nothing. */
export function report_of(transfer: Transfer): string | null {
  const { machine, current, disk, buf } = set_up(true);
  try {
    transfer(current, disk, buf, LEN, 0);
    run_softirqs(machine);
    return null;
  } catch (error) {
    if (error instanceof MisuseError) return error.message;
    throw error;
  } finally {
    shutdown(machine);
  }
}
/** Pages that never come back after the mistaken transfer, though the task exited. */
export function pages_lost(transfer: Transfer): { of: number; lost: number } {
  const { machine, current, disk, buf } = set_up(false);
  transfer(current, disk, buf, LEN, 0)._unsafeUnwrap();
  run_softirqs(machine);
  exit_task(current);
  return { of: PAGES, lost: shutdown(machine).lost_pages };
}
/** Bytes of another task that the disk overwrites, when the reader unmaps its buffer while the transfer is in flight. */
export function bytes_of_others_overwritten(transfer: Transfer): {
  of: number;
  overwritten: number;
} {
  const { machine, current, disk, buf } = set_up(false);
  const writer = create_task(machine);
  const data = map_filled(writer, ON_DISK);
  direct_io(writer, disk, "REQ_OP_WRITE", data, LEN, 0)._unsafeUnwrap();
  munmap(writer, data, LEN)._unsafeUnwrap();
  transfer(current, disk, buf, LEN, 0)._unsafeUnwrap();
  munmap(current, buf, LEN)._unsafeUnwrap();
  const other = create_task(machine);
  const theirs = map_filled(other, OLD + 1); // gets the pages that were just freed
  run_softirqs(machine); // now the disk transfers
  const seen = new Uint8Array(LEN);
  copy_from_user(other, seen, theirs)._unsafeUnwrap();
  shutdown(machine);
  return { of: LEN, overwritten: seen.filter((byte) => byte !== OLD + 1).length };
}
