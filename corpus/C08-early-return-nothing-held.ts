/**
 * drivers/misc/vmw_vmci/vmci_host.c asks for one page and returns without a release when the answer is not 1: of one page,
 * any other answer means none.  get_user_page() gives one handle or an error, and there is nothing in between.
 */
import { get_user_page, IS_ERR, ITER_DEST, put_user_page, type UserPage } from "user-page";
import { dma_from_device, type Bench } from "./bench.js";

interface VmciCtx {
  notify_page: UserPage<"dest"> | null;
}
export function right({ current, buf, hole, device, fails }: Bench) {
  const ctx: VmciCtx = { notify_page: null };
  const page = get_user_page(current, fails ? hole : buf, ITER_DEST);
  if (IS_ERR(page)) return page;
  ctx.notify_page = page;
  dma_from_device(device, ctx.notify_page, 1);
  put_user_page(ctx.notify_page);
}
