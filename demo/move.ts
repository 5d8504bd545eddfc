// The right driver: a file through the block layer into user memory and back, by extents and by pages.
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync, statSync, truncateSync } from "node:fs";
import {
  boot,
  copy_from_user,
  create_task,
  direct_io_pages,
  fragment_memory,
  IS_ERR,
  LO_FLAGS_READ_ONLY,
  loop_configure,
  madvise,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  PAGE_SIZE,
  PMD_SIZE,
  PROT_READ,
  PROT_WRITE,
  shutdown,
  user_ptr_add,
  vmstat,
  type BlockDevice,
  type Machine,
  type Task,
  type UserAddr,
} from "user-page";
import type { Transfer } from "./transfer.js";

const SECTOR = 512;

/** A range that lies half in huge pages and half in small ones; no two small pages of the machine are adjacent. */
function map_mixed(current: Task, len: number): UserAddr {
  const half = Math.floor(len / 2 / PAGE_SIZE) * PAGE_SIZE;
  const huge = Math.ceil(half / PMD_SIZE) * PMD_SIZE;
  const prot = PROT_READ | PROT_WRITE;
  const bytes = Math.max(huge + len, PMD_SIZE);
  const start = mmap(current, null, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
  madvise(current, start, huge, MADV_HUGEPAGE)._unsafeUnwrap();
  return user_ptr_add(start, huge - half);
}

/** What one way of pinning did for the same transfer, there and back. */
export interface Way {
  /** handles the driver had to keep */
  readonly handles: number;
  /** references taken and dropped */
  readonly references: number;
}
export interface Moved {
  readonly bytes: number;
  readonly pages: number;
  readonly huge_pages: number;
  readonly extents: Way;
  readonly single_pages: Way;
  /** SHA-256 of the file, of the memory it was read into, and of the file written from there */
  readonly sums: readonly [file: string, memory: string, copy: string];
  readonly leaks: number;
}
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function counted(machine: Machine, transfer: () => void): Way {
  const before = vmstat(machine);
  transfer();
  const after = vmstat(machine);
  const taken = after.nr_foll_pin_acquired - before.nr_foll_pin_acquired;
  const dropped = after.nr_foll_pin_released - before.nr_foll_pin_released;
  return { handles: taken, references: taken + dropped };
}
/** Calls the driver, of which nothing is known but its types. */
function must_move(
  transfer: Transfer,
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
): void {
  const moved = transfer(current, disk, buf, len, 0);
  if (moved.isErr()) {
    const { errno, message } = moved.error;
    throw new Error(`${transfer.name}() returned ${errno}: ${message}`);
  }
  if (moved.value !== len)
    throw new Error(`${transfer.name}() moved ${moved.value} of ${len} bytes`);
}
/** Reads `file` into user memory and writes `copy` from there, with the driver and then page by page. */
export function move(read: Transfer, write: Transfer, file: string, copy: string): Moved {
  const { size } = statSync(file);
  const len = Math.ceil(size / SECTOR) * SECTOR;
  const mem = Math.ceil((4 * len) / PMD_SIZE) * PMD_SIZE + (64 << 20);
  const machine = boot({ mem });
  const half = mem / PAGE_SIZE / 2;
  using _fragments = fragment_memory(machine, (index) => index > half && index % 2 === 1);
  const current = create_task(machine);
  const buf = map_mixed(current, len);
  copyFileSync(file, copy);
  using source = loop_configure(machine, file, LO_FLAGS_READ_ONLY);
  using target = loop_configure(machine, copy);
  if (IS_ERR(source)) throw new Error(source.message);
  if (IS_ERR(target)) throw new Error(target.message);

  const extents = counted(machine, () => {
    must_move(read, current, source, buf, len);
  });
  const memory = new Uint8Array(size);
  copy_from_user(current, memory, buf)._unsafeUnwrap();
  const back = counted(machine, () => {
    must_move(write, current, target, buf, len);
  });
  truncateSync(copy, size);
  const single = counted(machine, () => {
    direct_io_pages(current, source, "REQ_OP_READ", buf, len, 0)._unsafeUnwrap();
    direct_io_pages(current, target, "REQ_OP_WRITE", buf, len, 0)._unsafeUnwrap();
  });
  truncateSync(copy, size);
  const huge_pages = vmstat(machine).thp_fault_alloc;
  _fragments[Symbol.dispose]();
  return {
    bytes: size,
    pages: Math.ceil(len / PAGE_SIZE),
    huge_pages,
    extents: {
      handles: extents.handles + back.handles,
      references: extents.references + back.references,
    },
    single_pages: single,
    sums: [sha256(readFileSync(file)), sha256(memory), sha256(readFileSync(copy))],
    leaks: shutdown(machine).lost_pages,
  };
}
