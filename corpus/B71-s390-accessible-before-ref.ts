/**
 * The order of steps for a page that may be secure is: take a reference, make it accessible, transfer, put.  Made accessible
 * first, it may be secure again before the reference is there, and the device gets an access exception: a point
 * that Ulrich Weigand made on the list (mm/gup.c of 5.9 keeps the order by hand).  Here make_accessible() asks for a
 * reference, and what it makes of the page is what I/O of a machine with secure pages asks for.
 */
import {
  bio_add_page,
  bio_alloc,
  get_page_unless_zero,
  IS_ERR,
  make_accessible,
  mmap_read_lock,
  mmap_read_unlock,
  PAGE_SIZE,
  pfn_to_page,
  put_page,
  secure_rw_page,
  setup_uv,
  submit_bio_wait,
  gmap_convert_to_secure,
  uv_set_shared,
} from "user-page";
import { frame_at, type Bench } from "./bench.js";

/** A page that a guest shares for its I/O, found in the page tables. */
function secure_page({ machine, current, buf }: Bench) {
  setup_uv(machine);
  const pfn = frame_at(current, buf);
  if (pfn === null) return null;
  const lock = mmap_read_lock(current, current.mm);
  gmap_convert_to_secure(lock, buf)._unsafeUnwrap();
  uv_set_shared(lock, buf)._unsafeUnwrap();
  mmap_read_unlock(lock);
  const found = pfn_to_page(machine, pfn);
  return IS_ERR(found) ? null : found;
}
export function wrong(bench: Bench) {
  const found = secure_page(bench);
  if (!found) return;
  // @ts-expect-error no reference yet
  make_accessible(found, bench.current);
  const page = get_page_unless_zero(found);
  if (!page) return;
  using bio = bio_alloc(bench.disk, 1, "REQ_OP_WRITE");
  bio_add_page(bio, page, PAGE_SIZE, 0);
  const error = submit_bio_wait(bio, bench.current);
  put_page(page);
  return error;
}

export function right(bench: Bench) {
  const found = secure_page(bench);
  const page = found && get_page_unless_zero(found);
  if (!page) return;
  if (!make_accessible(page, bench.current)) {
    put_page(page);
    return;
  }
  const error = secure_rw_page(bench.disk, "REQ_OP_WRITE", 0, page, bench.current);
  put_page(page);
  return error;
}
