/**
 * gmap_make_secure() of arch/s390/kernel/uv.c takes a reference on a folio only when it has to wait after the page-table
 * lock was dropped; the put depends on the same result.  Here the reference is a handle that exists or is null.
 */
import {
  folio_get,
  folio_put,
  folio_ref_count,
  get_user_page,
  IS_ERR,
  ITER_SOURCE,
  page_folio,
  put_user_page,
} from "user-page";
import type { Bench } from "./bench.js";

export function right({ current, buf, fails }: Bench) {
  const page = get_user_page(current, buf, ITER_SOURCE);
  if (IS_ERR(page)) return page;
  const folio = page_folio(page); // lent, under the lock
  const busy = fails;
  const waited_for = busy ? folio_get(folio) : null;
  put_user_page(page); // the lock is dropped, and with it what was lent
  if (waited_for) {
    const references = folio_ref_count(waited_for); // folio_wait_writeback()
    folio_put(waited_for);
    return references > 0 ? -11 : -5;
  }
}
