// A file on a disk: what a file system on iomap does with one direct transfer, extent by extent.
import {
  copy_to_user,
  direct_io_pages,
  user_ptr_add,
  type BlockDevice,
  type ErrnoName,
  type Op,
  type Task,
  type UserAddr,
} from "user-page";
import type { FileLayout } from "../scenario.js";

/** Bytes, or the errno. */
export type Outcome = number | ErrnoName;

/** Zeroes for what the disk need not be asked for.  Nothing is pinned: the CPU writes them. */
function zero(current: Task, addr: UserAddr, len: number): Outcome {
  const done = copy_to_user(current, addr, new Uint8Array(len));
  return done.isOk() ? done.value : done.error.errno;
}
/**
 * Transfers extent by extent.  A read answers no more than the size of the file; what was never written reads as zeroes.
 * A write goes to the disk everywhere.  An error anywhere is the answer, whatever was transferred before it.
 */
export function file_direct_io(
  current: Task,
  disk: BlockDevice,
  file: FileLayout,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
): Outcome {
  const is_read = op === "REQ_OP_READ";
  if (is_read && position >= file.size) return 0;
  let done = 0;
  let end = 0;
  for (const extent of file.extents) {
    const from = Math.max(position, end);
    end += extent.bytes;
    const bytes = Math.min(position + len, end) - from;
    if (bytes <= 0) continue;
    const at = user_ptr_add(addr, from - position);
    const outcome =
      is_read && extent.state !== "written"
        ? zero(current, at, bytes)
        : transfer(current, disk, op, at, bytes, from);
    if (typeof outcome !== "number") return outcome;
    done += outcome;
  }
  return is_read ? Math.min(done, file.size - position) : done;
}
/** One transfer on a disk, with the rule of iomap for faults. */
export function transfer(
  current: Task,
  disk: BlockDevice,
  op: Op,
  addr: UserAddr,
  len: number,
  position: number,
  rule: "iomap" | "block device" = "iomap",
): Outcome {
  const done = direct_io_pages(current, disk, op, addr, len, position, rule);
  return done.isOk() ? done.value : done.error.errno;
}
