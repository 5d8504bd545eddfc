/**
 * kvmppc_xive_native_set_queue_config() of arch/powerpc/kvm/book3s_xive_native.c returned without dropping its reference
 * when the queue could not be configured: "KVM: PPC: Book3S HV: XIVE: Fix potential page leak on error path".  On success
 * the queue keeps the page, so the missing release looks right at a glance.  Debug mode lists it; a scope that the page is
 * moved out of at the point of no return says which is which.
 */
import {
  __free,
  ERR_PTR,
  get_user_page,
  IS_ERR,
  ITER_DEST,
  no_free_ptr,
  put_user_page,
  type UserPage,
} from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface XiveQueue {
  qpage: UserPage<"dest"> | null;
}
const configure_queue = (fails: boolean) => (fails ? -22 : 0);
function queue_cleanup(queue: XiveQueue) {
  const { qpage } = queue;
  queue.qpage = null;
  if (qpage) put_user_page(qpage);
}

export function wrong({ current, buf, fails }: Bench) {
  const queue: XiveQueue = { qpage: null };
  const page = get_user_page(current, buf, ITER_DEST); // gfn_to_page()
  if (IS_ERR(page)) return page;
  const rc = configure_queue(fails);
  if (rc) return rc;
  queue.qpage = page;
  queue_cleanup(queue);
  return 0;
}

export function right({ current, buf, device, fails }: Bench) {
  const queue: XiveQueue = { qpage: null };
  using page = __free(put_user_page, get_user_page(current, buf, ITER_DEST));
  if (IS_ERR(page)) return page;
  if (configure_queue(fails)) return ERR_PTR("EINVAL", "no such queue");
  queue.qpage = no_free_ptr(page);
  dma_from_device(device, queue.qpage);
  queue_cleanup(queue);
}
