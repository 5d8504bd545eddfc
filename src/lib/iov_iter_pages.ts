/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Pages of an iterator: by plain references, the way before pins, and by what follows from the iterator, pins or nothing.
 * Models iov_iter_get_pages2() and iov_iter_extract_pages() of lib/iov_iter.c.
 */

import type { Narrows } from "../handle/affine.js";
import { raw, to_extracted_pages, to_flag_bits, to_iter_pages, to_page } from "../handle/cast.js";
import type { Task } from "../handle/context.js";
import { ERR_PTR, IS_ERR, type GupError, type Errno } from "../handle/errno.js";
import type {
  ExtractedPages,
  HeldIterPages,
  IovIter,
  IterKind,
  KernelPages,
  OwnedIterPages,
  SpentIterPages,
} from "../handle/iov_iter.js";
import type { By } from "../handle/kinds.js";
import type { Dir, OwnedPage, Page } from "../handle/page.js";
import { MAX_RW_COUNT, PAGE_SIZE } from "../machine/limits.js";
import { throw_misuse } from "../machine/machine.js";
import { UserBvecList } from "../mm/bvec_state.js";
import { get_pages } from "../mm/get_user_pages.js";
import { gup_error } from "../mm/gup.js";
import { FOLL } from "../mm/gup_flags.js";
import { referenced } from "../mm/page.js";
import { ref_add, ref_count, throw_no_reference } from "../mm/page_ref.js";
import {
  current_caller,
  dir_flag,
  pin_pages,
  refuse_range,
  type GupCaller,
} from "../mm/pin_user_pages.js";
import { IS_SHORT, pages_of, UserPages } from "../mm/user_pages.js";
import { kernel_pages, IterPagesState, type FoundPages } from "./iter_pages.js";
import { iter_state, lent, type IterState } from "./iter_state.js";

/** What one call is about. */
interface Request {
  readonly iter: IterState;
  readonly caller: GupCaller;
  readonly size: number;
  readonly maxpages: number;
  readonly by: string;
}
function request(
  iter: IovIter,
  maxsize: number,
  maxpages: number,
  current: Task,
  by: string,
): Request | GupError {
  const state = iter_state(iter, by);
  const caller = current_caller(current, by, true);
  state.assert_of(caller.mm.machine, by);
  for (const [n, what] of [
    [maxsize, "bytes"],
    [maxpages, "pages"],
  ] as const) {
    if (!Number.isSafeInteger(n) || n < 0) return ERR_PTR("EINVAL", `${String(n)} ${what}`);
  }
  const size = maxpages === 0 ? 0 : Math.min(maxsize, state.count, MAX_RW_COUNT);
  return { iter: state, caller, size, maxpages, by };
}
const no_pages = (iter: IterState): GupError =>
  ERR_PTR("EFAULT", `${iter.iter_type} has no pages to give`);
/** The user pages of the next segment: from where, how many, and how many bytes `got` of them hold. */
function user_range({ iter, size, maxpages }: Request) {
  const { at, len } = iter.piece(size)!;
  const offset = at % PAGE_SIZE;
  const nr = Math.min(pages_of(at, len), maxpages);
  return { at, nr, offset, bytes: (got: number) => Math.min(got * PAGE_SIZE - offset, len) };
}

// --- plain references -------------------------------------------------------------------------------------
function get_user({ iter, caller }: Request, range: ReturnType<typeof user_range>, by: string) {
  const { at, nr, offset, bytes } = range;
  const refused = refuse_range(at, nr, true);
  if (refused) return refused;
  const pages: Page[] = [];
  const flags = to_flag_bits(dir_flag(iter.dir) | (iter.nofault ? FOLL.NOFAULT : 0));
  const got = get_pages(caller, at, nr, flags, pages, by);
  if (got <= 0) return gup_error(got, at);
  return new IterPagesState(caller.mm.machine, pages.map(raw), offset, bytes(got));
}
function get_kernel({ iter, size, maxpages, by }: Request): IterPagesState | GupError {
  const machine = iter.machine!;
  const { pfns, offset, bytes } = kernel_pages(iter, size, maxpages, by);
  for (const pfn of pfns) if (ref_count(pfn) === 0) throw_no_reference(pfn, by);
  machine.probe?.reserve(pfns.length);
  const pages = pfns.map((pfn) => {
    ref_add(pfn, 1); // of the page's own folio, which need not be that of the page before
    return referenced(machine, pfn, "page", by);
  });
  return new IterPagesState(machine, pages, offset, bytes);
}
/** Fresh pages of the ring, which are part of it from now on. */
function get_pipe({ iter, size, maxpages, by }: Request): IterPagesState | GupError {
  const machine = iter.machine!;
  const pipe = iter.pipe!;
  pipe.inode.assert_held(by);
  machine.probe?.reserve(Math.min(pipe.npages, maxpages) * 2);
  const { offset } = pipe;
  const pages: number[] = [];
  let bytes = 0;
  while (bytes < size && pages.length < maxpages) {
    const appended = pipe.append(size - bytes, by);
    if (!appended) break;
    ref_add(appended.pfn, 1);
    pages.push(referenced(machine, appended.pfn, "page", by));
    bytes += appended.len;
  }
  if (pages.length === 0) return ERR_PTR("EFAULT", "the pipe is full, or no page is free");
  return new IterPagesState(machine, pages, offset, bytes);
}
/**
 * Takes a plain reference on each page of what comes next, and advances by what they hold: the way of drivers that are not
 * converted to pins.  Models iov_iter_get_pages2().  Of several segments only the first; fewer pages than asked for if
 * not all can be accessed.  Pages of a pipe are allocated.
 * The caller owns them together: iov_iter_put_pages(), or the end of a `using` block.
 *
 * @param maxsize - bytes, 0 and more
 * @param maxpages - pages, 0 and more
 * @returns EFAULT where nothing can be accessed that way, and of ITER_KVEC and ITER_DISCARD always; ENOMEM without memory,
 *   EAGAIN after a SIGKILL, EINVAL for a bad number, EOVERFLOW for a range that wraps
 * @example
 * const iter = iov_iter_ubuf(ITER_SOURCE, buf, 10000);
 * using pages = iov_iter_get_pages2(iter, 8192, 16, current);
 * if (IS_ERR(pages)) return pages;
 * for (const page of pages) console.log(page_ref_count(page)); // -> 2
 * // -> 2
 * console.log(pages.offset, pages.bytes, iter.count); // -> 0 8192 1808
 */
export function iov_iter_get_pages2(
  iter: IovIter,
  maxsize: number,
  maxpages: number,
  current: Task,
): OwnedIterPages | GupError {
  const by = "iov_iter_get_pages2()";
  const asked = request(iter, maxsize, maxpages, current, by);
  if (IS_ERR(asked)) return asked;
  const { iter: state, size, caller } = asked;
  if (size === 0) return to_iter_pages(new IterPagesState(caller.mm.machine, [], 0, 0));
  const got = get(asked);
  if (IS_ERR(got)) return got;
  state.move(got.bytes);
  return to_iter_pages(got);
}
function get(asked: Request): IterPagesState | GupError {
  const { iter, by } = asked;
  if (iter.is_user) return get_user(asked, user_range(asked), by);
  if (iter.iter_type === "ITER_KVEC" || iter.iter_type === "ITER_DISCARD") return no_pages(iter);
  return iter.pipe ? get_pipe(asked) : get_kernel(asked);
}
function iter_pages(pages: object, called: string): IterPagesState {
  if (pages instanceof IterPagesState) return pages;
  throw_misuse("not-a-handle", called, "no pages of an iterator");
}
/**
 * Releases what iov_iter_get_pages2() took, as far as it was not popped (ours: the counterpart that Boaz Harrosh asked for in
 * 2019).  The handle is spent.  Any context.
 */
export const iov_iter_put_pages: Narrows<
  HeldIterPages,
  { is: SpentIterPages<By<"iov_iter_put_pages">> }
> = (pages) => {
  iter_pages(pages, "iov_iter_put_pages()").release("iov_iter_put_pages");
};
/**
 * Moves the first page out; null when none is left (ours: for code that puts each page by itself).  The caller owns its
 * reference: put_page().
 *
 * @example
 * using pages = iov_iter_get_pages2(iov_iter_ubuf(ITER_SOURCE, buf, 8192), 8192, 16, current);
 * if (IS_ERR(pages)) return pages;
 * for (let page = pop_iter_page(pages); page; page = pop_iter_page(pages)) put_page(page);
 */
export function pop_iter_page(pages: HeldIterPages): OwnedPage | null {
  const called = "pop_iter_page()";
  const state = iter_pages(pages, called);
  state.assert_held(called);
  const page = state.shift();
  return page === 0 ? null : to_page(page);
}

// --- pins, or nothing -------------------------------------------------------------------------------------
/** Pages of a kernel iterator, to use. */
class LentPages implements KernelPages {
  readonly kernel: KernelPages["kernel"];
  readonly offset: number;
  readonly bytes: number;
  constructor(iter: IterState, { pfns, offset, bytes }: FoundPages) {
    this.kernel = pfns.map((pfn) => lent(iter.machine!, pfn));
    this.offset = offset;
    this.bytes = bytes;
  }
  [Symbol.dispose](): void {
    // whoever made the iterator keeps them
  }
}
function pin(asked: Request): UserPages | GupError {
  const { iter, caller, by } = asked;
  const { at, nr, offset, bytes } = user_range(asked);
  const flags = iter.nofault ? to_flag_bits(FOLL.NOFAULT) : undefined;
  const pinned = pin_pages(caller, at, nr, iter.dir, flags, by);
  if (IS_ERR(pinned)) return pinned;
  const pages: object = IS_SHORT(pinned) ? pinned.partial : pinned;
  if (!(pages instanceof UserPages)) throw new RangeError(`${by}: no pins`);
  pages.offset = offset;
  pages.bytes = bytes(pages.length);
  return pages;
}
/**
 * Gives the pages of what comes next as the iterator needs it, and advances by what they hold: user memory is pinned, kernel
 * memory is used as it is.  Models iov_iter_extract_pages().  Of several segments only the first; if not all of it can be
 * accessed, the pages that can, so look at `bytes`.
 * Of user memory the caller owns pins: put_user_pages(), or the end of a `using` block.  Where the kind of the iterator is
 * known at run time only, is_pinned() tells.
 *
 * @param maxsize - bytes, 0 and more
 * @param maxpages - pages, 0 and more
 * @returns EFAULT where nothing can be accessed that way, and of ITER_DISCARD and ITER_PIPE always; ENOMEM without memory,
 *   EAGAIN after a SIGKILL, EINVAL for a bad number, EOVERFLOW for a range that wraps
 * @example
 * const iter = iov_iter_ubuf(ITER_DEST, buf, 10000);
 * using pages = iov_iter_extract_pages(iter, 8192, 16, current);
 * if (IS_ERR(pages)) return pages;
 * console.log(pages.length, pages.offset, pages.bytes, iter.count); // -> 2 0 8192 1808
 */
export function iov_iter_extract_pages<D extends Dir, K extends IterKind>(
  iter: IovIter<D, K>,
  maxsize: number,
  maxpages: number,
  current: Task,
): ExtractedPages<D, K> | GupError {
  const by = "iov_iter_extract_pages()";
  const asked = request(iter, maxsize, maxpages, current, by);
  if (IS_ERR(asked)) return asked;
  const { iter: state, size } = asked;
  const got = size === 0 ? nothing(state) : extract(asked);
  if (IS_ERR(got)) return got;
  state.move(got.bytes);
  return to_extracted_pages<D, K>(got);
}
function nothing(iter: IterState): UserPages | LentPages {
  return iter.is_user ? new UserPages() : new LentPages(iter, { pfns: [], offset: 0, bytes: 0 });
}
function extract(asked: Request): UserPages | LentPages | GupError {
  const { iter, size, maxpages, by } = asked;
  if (iter.is_user) return pin(asked);
  if (iter.iter_type === "ITER_DISCARD" || iter.pipe) return no_pages(iter);
  return new LentPages(iter, kernel_pages(iter, size, maxpages, by));
}
/**
 * Whether what was extracted is pinned, and yours to release; else it belongs to the kernel, and is only used (ours: the flag
 * that C code carries beside the pages, in the value).
 *
 * @example
 * const iter: IovIter<"dest"> = iov_iter_ubuf(ITER_DEST, buf, 4096);
 * const got = iov_iter_extract_pages(iter, 4096, 1, current);
 * if (IS_ERR(got)) return got;
 * if (is_pinned(got)) put_user_pages(got);
 */
export function is_pinned<T>(got: T): got is Exclude<T, { readonly kernel: unknown } | Errno> {
  return got instanceof UserPages || got instanceof UserBvecList;
}
