// Bugs of an alias and of one way out: nothing is cast.
import { err, ok, type Result } from "neverthrow";
import {
  all_or_none,
  direct_io,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  PAGE_SIZE,
  pin_user_pages_fast,
  PTR_ERR,
  put_user_pages,
  put_user_pages_dirty_lock,
  user_ptr_add,
  type BlkError,
  type BlockDevice,
  type GupError,
  type Task,
  type UserAddr,
} from "user-page";

type Transferred = Result<number, GupError | BlkError>;
const pages_in = (bytes: number): number => Math.ceil(bytes / PAGE_SIZE);

export function dio_read(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
): Transferred {
  let done = 0;
  while (done < len) {
    const part = Math.min(len - done, 16 * PAGE_SIZE);
    const at = user_ptr_add(buf, done);
    const pages = all_or_none(pin_user_pages_fast(current, at, pages_in(part), ITER_DEST)); // BUG leak
    if (IS_ERR(pages)) return PTR_ERR(pages);
    const moved = direct_io(current, disk, "REQ_OP_READ", at, part, position + done);
    if (moved.isErr()) return err(moved.error);
    put_user_pages_dirty_lock(pages, current);
    done += part;
  }
  return ok(done);
}
export function dio_write(
  current: Task,
  disk: BlockDevice,
  buf: UserAddr,
  len: number,
  position: number,
): Transferred {
  const pages = all_or_none(pin_user_pages_fast(current, buf, pages_in(len), ITER_SOURCE));
  if (IS_ERR(pages)) return PTR_ERR(pages);
  const also = pages;
  const moved = direct_io(current, disk, "REQ_OP_WRITE", buf, len, position);
  put_user_pages(pages);
  if (moved.isErr()) {
    put_user_pages(also); // BUG double-release
    return err(moved.error);
  }
  return ok(len);
}
