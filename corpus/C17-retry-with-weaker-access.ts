/**
 * __scif_pin_pages() of drivers/misc/mic/scif/scif_rma.c asks for write access, and where it is refused releases what it got
 * and asks again for less.  The roll-back is complete before the second call.
 */
import {
  all_or_none,
  IS_ERR,
  ITER_DEST,
  ITER_SOURCE,
  mprotect,
  pin_user_pages_fast,
  PROT_READ,
  PROT_WRITE,
  unpin_user_pages,
  user_ptr_add,
  type Task,
  type UserAddr,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

const NR = 4;
function scif_pin_pages(current: Task, addr: UserAddr) {
  const writable = all_or_none(pin_user_pages_fast(current, addr, NR, ITER_DEST));
  if (!IS_ERR(writable)) return writable;
  return all_or_none(pin_user_pages_fast(current, addr, NR, ITER_SOURCE));
}
export function right({ current, buf, device, fails }: Bench) {
  const half = user_ptr_add(buf, 8192);
  if (fails) mprotect(current, half, 8192, PROT_READ)._unsafeUnwrap();
  const pages = scif_pin_pages(current, buf);
  if (IS_ERR(pages)) return pages;
  for (const page of pages) dma_to_device(device, page);
  unpin_user_pages(pages);
  mprotect(current, half, 8192, PROT_READ | PROT_WRITE)._unsafeUnwrap();
}
