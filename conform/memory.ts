import type { Result } from "neverthrow";
// Builds the memory of a scenario in the address space of a task.
import {
  brd_alloc,
  copy_from_user,
  copy_to_user,
  filp_open,
  IS_ERR,
  madvise,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  memfd_create,
  MFD_HUGE,
  mkfs_cowfs,
  mmap,
  mount_cowfs,
  mprotect,
  munmap,
  O_CREAT,
  PAGE_SIZE,
  PMD_SIZE,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  TASK_SIZE,
  u64_to_user_ptr,
  user_ptr_add,
  vfs_truncate,
  type Errno,
  type Machine,
  type MappableFile,
  type Task,
  type UserAddr,
} from "user-page";
import type { Afterwards, Buffer, Memory, Piece } from "./scenario.js";

/** The model refused to build what the row starts from: nothing was measured. */
export class SetupError extends Error {}

function built<T>(result: Result<T, { readonly message: string }>): T {
  if (result.isErr()) throw new SetupError(result.error.message);
  return result.value;
}
const PROT = {
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  "PROT_READ | PROT_WRITE": PROT_READ | PROT_WRITE,
  "PROT_READ | PROT_EXEC": PROT_READ | PROT_EXEC,
} as const;
const is_huge = ({ backing }: Memory): boolean =>
  backing === "huge pages" || backing === "huge memfd";
const KIB_64 = 65536;
const unit_of = (memory: Memory): number =>
  is_huge(memory) ? PMD_SIZE : memory.backing === "folios of 64 KiB" ? KIB_64 : PAGE_SIZE;
/** Bytes a piece maps: huge pages are not cut. */
function mapped_bytes({ pages, memory }: Piece): number {
  const unit = memory ? unit_of(memory) : PAGE_SIZE;
  return Math.ceil((pages * PAGE_SIZE) / unit) * unit;
}
/** Memory the buffer can use up: copies of private files count twice. */
export function bytes_of(buffer: Buffer): number {
  return buffer.pieces.reduce((sum, piece) => sum + 2 * mapped_bytes(piece), 0);
}

/** The sizes of anonymous folios that the machine is booted with: a kernel where 64 KiB are switched on has no larger ones here. */
export function thp_anon_of(buffers: readonly Buffer[]): string {
  const pieces = buffers.flatMap((buffer) => buffer.pieces);
  const kib_64 = pieces.some(({ memory }) => memory?.backing === "folios of 64 KiB");
  return kib_64 ? "64K:madvise;2M:never" : "";
}
function had<T>(handle: T): Exclude<T, Errno> {
  if (IS_ERR(handle)) throw new SetupError((handle as Errno).message);
  return handle as Exclude<T, Errno>;
}
/** A file of a file system that treats pins as Linux 6.18 does. */
function file_system_file(machine: Machine, current: Task, bytes: number): MappableFile {
  const disk = had(brd_alloc(machine, 2 * bytes + (1 << 20)));
  had(mkfs_cowfs(current, disk));
  const fs = had(mount_cowfs(current, disk, { policy: "linux" }));
  const file = had(filp_open(current, fs, "mapped", O_CREAT));
  had(vfs_truncate(current, file, bytes));
  return file;
}
function map_file(
  machine: Machine,
  current: Task,
  at: UserAddr,
  bytes: number,
  { backing, shared, prot, file_pages }: Memory,
): void {
  const type = (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED;
  const one_page = backing === "one memfd page";
  const size = one_page ? PAGE_SIZE : file_pages === null ? bytes : file_pages * PAGE_SIZE;
  const file =
    backing === "file"
      ? file_system_file(machine, current, size)
      : had(memfd_create(current, size, backing === "huge memfd" ? MFD_HUGE : 0));
  const step = one_page ? PAGE_SIZE : bytes;
  for (let done = 0; done < bytes; done += step) {
    built(mmap(current, user_ptr_add(at, done), step, PROT[prot], type, file));
  }
}
function touch(current: Task, at: UserAddr, pages: number, how: Memory["touched"]): void {
  if (how === "no") return;
  const byte = new Uint8Array([1]);
  for (let i = 0; i < pages; i++) {
    const addr = user_ptr_add(at, i * PAGE_SIZE);
    built(
      how === "written" ? copy_to_user(current, addr, byte) : copy_from_user(current, byte, addr),
    );
  }
}
function change(current: Task, at: UserAddr, bytes: number, then: Afterwards): void {
  if (then === "MADV_FREE" || then === "MADV_DONTNEED") {
    built(madvise(current, at, bytes, then === "MADV_FREE" ? MADV_FREE : MADV_DONTNEED));
  } else built(mprotect(current, at, bytes, PROT[then]));
}
function map_piece(machine: Machine, current: Task, at: UserAddr, piece: Piece): void {
  const { pages, memory } = piece;
  const bytes = mapped_bytes(piece);
  if (!memory) {
    built(munmap(current, at, bytes));
    return;
  }
  const large = memory.backing === "huge pages" || memory.backing === "folios of 64 KiB";
  if (memory.backing === "anonymous" || large) {
    const type = (memory.shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_FIXED;
    built(mmap(current, at, bytes, PROT[memory.prot], type));
    if (large) built(madvise(current, at, bytes, MADV_HUGEPAGE));
  } else map_file(machine, current, at, bytes, memory);
  touch(current, at, Math.min(pages, memory.file_pages ?? pages), memory.touched);
  for (const then of memory.then) change(current, at, bytes, then);
}
/** Maps and touches a buffer: where it begins. */
export function build_buffer(machine: Machine, current: Task, { pieces, at }: Buffer): UserAddr {
  if (at === "NULL") return u64_to_user_ptr(0);
  if (at === "kernel") return u64_to_user_ptr(TASK_SIZE + PAGE_SIZE);
  // Reserving whole huge pages makes it begin at a multiple of one.
  const bytes = pieces.reduce((sum, piece) => sum + mapped_bytes(piece), 0);
  const room = Math.ceil(bytes / PMD_SIZE) * PMD_SIZE;
  const type = MAP_PRIVATE | MAP_ANONYMOUS;
  const start = built(mmap(current, null, room, PROT_NONE, type));
  let done = 0;
  for (const piece of pieces) {
    if (piece.pages === 0) continue;
    map_piece(machine, current, user_ptr_add(start, done), piece);
    done += mapped_bytes(piece);
  }
  if (done < room) built(munmap(current, user_ptr_add(start, done), room - done));
  return start;
}
/** Writes a byte into each page that may be written, as a program that goes on does. */
export function touch_again(current: Task, at: UserAddr, buffer: Buffer): void {
  const pages = buffer.pieces.reduce((sum, piece) => sum + piece.pages, 0);
  touch(current, at, pages, "written");
}
/** Bytes the buffer maps. */
export function length_of({ pieces }: Buffer): number {
  return pieces.reduce((sum, piece) => sum + mapped_bytes(piece), 0);
}
