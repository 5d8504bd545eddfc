/**
 * block/bio-integrity.c dirtied the pages of its meta-data buffer when the bio completed, perhaps in an interrupt, with a
 * function that may sleep: "block: integrity: Do not call set_page_dirty_lock()".  What may sleep asks for a context here, and
 * a completion handler has none.  A pin to write can be dirtied without one.
 */
import {
  all_or_none,
  bio_alloc,
  bio_put,
  bio_set_end_io,
  IS_ERR,
  ITER_DEST,
  pin_user_pages_fast,
  run_softirqs,
  set_page_dirty,
  submit_bio,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
  type SoftirqContext,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

type Bip = ReadonlyArray<UserPage<"dest">>;
function read_with_integrity(bench: Bench, unmap: (bip: Bip, softirq: SoftirqContext) => void) {
  const { machine, current, buf, disk, device } = bench;
  const bip = all_or_none(pin_user_pages_fast(current, buf, 1, ITER_DEST));
  if (IS_ERR(bip)) return bip;
  const bio = bio_alloc(disk, 1, "REQ_OP_READ");
  bio_set_end_io(bio, (ended, softirq) => {
    for (const page of bip) dma_from_device(device, page);
    unmap(bip, softirq);
    bio_put(ended);
  });
  submit_bio(bio);
  run_softirqs(machine);
}
export function wrong(bench: Bench) {
  return read_with_integrity(bench, (bip, softirq) => {
    // @ts-expect-error must not sleep
    unpin_user_pages_dirty_lock(bip, true, softirq);
  });
}

export function right(bench: Bench) {
  return read_with_integrity(bench, (bip) => {
    for (const page of bip) set_page_dirty(page);
    unpin_user_pages(bip);
  });
}
