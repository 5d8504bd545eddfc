/**
 * afs_write_begin() of fs/afs/write.c stored the page in its caller's variable and then failed; the caller looks at that
 * variable only on success: "afs: Fix page leak on afs_write_begin() failure", with a comment in the old code that the page
 * would not leak.  C hands over by an out parameter at any time.  Debug mode lists the reference; a function that returns
 * the page or an error cannot do both.
 */
import { __free, alloc_page, ERR_PTR, IS_ERR, no_free_ptr, put_page, type Page } from "user-page";
import type { Bench } from "./bench.js";

interface Out {
  page: Page | null;
}
const write_one_page = (fails: boolean) => (fails ? -5 : 0);

function afs_write_begin({ current, fails }: Bench, out: Out): number {
  const page = alloc_page(current); // grab_cache_page_write_begin()
  if (IS_ERR(page)) return -12;
  out.page = page;
  return write_one_page(fails);
}
export function wrong(bench: Bench) {
  const out: Out = { page: null };
  const err = afs_write_begin(bench, out);
  if (err < 0) return err; // write_end() is not called
  if (out.page) put_page(out.page);
  return 0;
}

function write_begin({ current, fails }: Bench) {
  using page = __free(put_page, alloc_page(current));
  if (IS_ERR(page)) return page;
  if (write_one_page(fails) < 0) return ERR_PTR("EIO", "the conflicting write failed");
  return no_free_ptr(page);
}
export function right(bench: Bench) {
  const page = write_begin(bench);
  if (IS_ERR(page)) return page;
  put_page(page);
}
