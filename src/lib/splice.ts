/**
 * Pages that go into a pipe, and from one pipe into another, without being copied.  Models fs/splice.c.  A pipe holds plain
 * references: none of them makes a page accessible to devices.
 */

import { ok, type Result } from "neverthrow";
import { lend_page, raw } from "../handle/cast.js";
import { ERR_PTR, PTR_ERR, type Errno } from "../handle/errno.js";
import type { BorrowedPipe } from "../handle/iov_iter.js";
import type { BorrowedPage } from "../handle/page.js";
import { PAGE_SIZE } from "../machine/limits.js";
import { machine_of_handle, throw_foreign } from "../machine/machine.js";
import { get_page, try_get_page } from "../mm/page.js";
import { pipe_inode } from "./pipe.js";

/**
 * Appends bytes of a page to a pipe.  Models splice_folio_into_pipe().  The pipe takes a reference of its own, until the
 * bytes are read or the pipe is freed; the caller keeps what it has.
 *
 * @param len - bytes, inside the page; a RangeError otherwise
 * @returns len, or 0 when the pipe is full
 */
export function splice_folio_into_pipe(
  pipe: BorrowedPipe,
  page: BorrowedPage,
  len: number,
  offset: number,
): number {
  const called = "splice_folio_into_pipe()";
  const { machine, ring, max_usage } = pipe_inode(pipe, called);
  if (machine_of_handle(raw(page), called) !== machine) throw_foreign(called);
  const inside = Number.isInteger(len) && Number.isInteger(offset) && len > 0 && offset >= 0;
  if (!inside || offset + len > PAGE_SIZE) {
    throw new RangeError(`${called}: ${len} bytes at ${offset} are not inside a page`);
  }
  if (ring.length >= max_usage) return 0;
  ring.push({ handle: raw(get_page(page)), offset, len });
  return len;
}
/**
 * Lets a second pipe have what is in the first.  Models tee(): each buffer is referenced once more by
 * generic_pipe_buf_get(), the only caller of try_get_page().
 *
 * @param len - bytes at most
 * @returns the bytes that the second pipe has more: fewer when it is full; EFAULT when no reference can be taken on the
 *   first page; EINVAL for one pipe given twice
 */
export function tee(
  from: BorrowedPipe,
  to: BorrowedPipe,
  len: number,
): Result<number, Errno<"EFAULT" | "EINVAL">> {
  const input = pipe_inode(from, "tee()");
  const output = pipe_inode(to, "tee()");
  if (input.machine !== output.machine) throw_foreign("tee()");
  if (input === output || !Number.isSafeInteger(len) || len < 0) {
    return PTR_ERR(ERR_PTR("EINVAL", `${len} bytes from a pipe to itself`));
  }
  let done = 0;
  for (const buffer of input.ring) {
    if (done >= len || output.ring.length >= output.max_usage) break;
    const page = try_get_page(lend_page(buffer.handle));
    if (!page) {
      if (done > 0) break;
      return PTR_ERR(ERR_PTR("EFAULT", "no reference on the first page of the pipe"));
    }
    const here = Math.min(buffer.len, len - done);
    output.ring.push({ handle: raw(page), offset: buffer.offset, len: here });
    done += here;
  }
  return ok(done);
}
