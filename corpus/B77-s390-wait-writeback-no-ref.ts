/**
 * gmap_make_secure() of arch/s390/kernel/uv.c found a page under the page-table lock, dropped the lock, and waited for the
 * page's writeback without a reference: "s390/uv: Don't call folio_wait_writeback() without a folio reference".  What an entry
 * of a page table names is a page that is only found: nothing but taking a reference can be done with it.
 */
import {
  filemap_flush,
  get_page_unless_zero,
  get_user_page,
  get_user_pages,
  IS_ERR,
  ITER_DEST,
  make_folio_secure,
  mmap_read_lock,
  page_ref_count,
  page_to_pfn,
  pfn_to_page,
  put_page,
  put_user_page,
  run_softirqs,
  setup_uv,
  type BorrowedPage,
  type Machine,
  type Page,
} from "user-page";
import { mapped_file, type Bench, type MappedFile } from "./bench.js";

/** Sleeps until the disk has the page, which must stay what it is meanwhile. */
function folio_wait_writeback(machine: Machine, page: BorrowedPage) {
  run_softirqs(machine);
  return page_ref_count(page);
}
function start_writeback({ machine, current }: Bench, { file, addr }: MappedFile) {
  setup_uv(machine);
  const page = get_user_page(current, addr, ITER_DEST);
  if (IS_ERR(page)) return;
  filemap_flush(current, file); // in place; the entry stays writable while the page is pinned
  put_user_page(page);
}
/** One attempt: null, or the page that is under writeback, as the page table names it. */
function attempt({ machine, current }: Bench, { addr }: MappedFile) {
  using lock = mmap_read_lock(current, current.mm);
  const done = make_folio_secure(lock, addr);
  if (done.isOk() || done.error.errno !== "EAGAIN") return null;
  const pages: Page[] = [];
  get_user_pages(lock, addr, 1, 0, pages);
  const [page] = pages;
  if (!page) return null;
  const found = pfn_to_page(machine, page_to_pfn(page));
  put_page(page); // what the entry names stays: a page that is only found
  return IS_ERR(found) ? null : found;
}
export function wrong(bench: Bench) {
  using mapped = mapped_file(bench, "no mkclean");
  start_writeback(bench, mapped);
  const busy = attempt(bench, mapped);
  if (!busy) return;
  // @ts-expect-error no reference
  folio_wait_writeback(bench.machine, busy);
}

export function right(bench: Bench) {
  using mapped = mapped_file(bench, "no mkclean");
  start_writeback(bench, mapped);
  const busy = attempt(bench, mapped);
  const page = busy && get_page_unless_zero(busy);
  if (!page) return "not under writeback";
  folio_wait_writeback(bench.machine, page);
  put_page(page);
  using lock = mmap_read_lock(bench.current, bench.current.mm);
  return make_folio_secure(lock, mapped.addr).isOk();
}
