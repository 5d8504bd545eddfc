/**
 * qp_host_get_user_memory() of drivers/misc/vmw_vmci/vmci_queue_pair.c passed -EFAULT to a release function whose count is
 * unsigned 64 bit: "VMCI: check return value of get_user_pages_fast() for errors".  In C errno and count share an int.
 * Here the error is a value of its own that owns no pages, and no release takes it.
 */
import {
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  put_user_pages,
  unpin_user_pages_dirty_lock,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

const NR = 4;
export function wrong({ current, buf, hole, fails }: Bench) {
  const produce = pin_user_pages_fast(current, fails ? hole : buf, NR, ITER_DEST);
  if (IS_ERR(produce) || IS_SHORT(produce)) {
    // @ts-expect-error an error, or fewer pages
    put_user_pages(produce);
    return -12;
  }
  unpin_user_pages_dirty_lock(produce, false, current);
  return 0;
}

export function right({ current, buf, hole, device, fails }: Bench) {
  const produce = pin_user_pages_fast(current, fails ? hole : buf, NR, ITER_DEST);
  if (IS_ERR(produce)) return produce;
  if (IS_SHORT(produce)) {
    put_user_pages(produce.partial);
    return -12;
  }
  for (const page of produce) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(produce, true, current);
}
