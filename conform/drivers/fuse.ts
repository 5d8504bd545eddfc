// Direct I/O through FUSE: the pages of a request are pinned while its server has it.
import {
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  ITER_SOURCE,
  PAGE_SIZE,
  pin_user_pages_fast,
  put_user_pages,
  put_user_pages_dirty_lock,
  type Op,
  type Task,
} from "user-page";
import type { Outcome, UserPart } from "./file.js";

/** Pages of one request; what is longer becomes several, of which the server holds the first. */
export const FUSE_MAX_PAGES = 256;

/** What the server answers with when it lets go of the request. */
export type Held = () => Outcome;

const pages_of = ({ addr, len }: UserPart): number =>
  Math.ceil(((addr % PAGE_SIZE) + len) / PAGE_SIZE);
/** Bytes of the part that lie in its first `pages` pages. */
const bytes_in = ({ addr, len }: UserPart, pages: number): number =>
  Math.min(len, pages * PAGE_SIZE - (addr % PAGE_SIZE));

/** Sends a request; memory need not be aligned, and a fault makes the request shorter. */
export function fuse_send(current: Task, op: Op, part: UserPart): Held | Outcome {
  const nr = Math.min(FUSE_MAX_PAGES, pages_of(part));
  if (op === "REQ_OP_READ") {
    const pinned = pin_user_pages_fast(current, part.addr, nr, ITER_DEST);
    if (IS_ERR(pinned)) return pinned.errno;
    const pages = (IS_SHORT(pinned) ? pinned.partial : pinned).splice(0);
    return () => {
      const bytes = bytes_in(part, pages.length);
      put_user_pages_dirty_lock(pages, current);
      return bytes;
    };
  }
  const pinned = pin_user_pages_fast(current, part.addr, nr, ITER_SOURCE);
  if (IS_ERR(pinned)) return pinned.errno;
  const pages = (IS_SHORT(pinned) ? pinned.partial : pinned).splice(0);
  return () => {
    const bytes = bytes_in(part, pages.length);
    put_user_pages(pages);
    return bytes;
  };
}
