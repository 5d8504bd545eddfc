/**
 * __rds_rdma_map() of net/rds/rdma.c hands its pins to the memory region it makes, and when the cookie cannot be copied to
 * the user unpins them itself; dropping the region unpins them again: "net: rds: fix MR cleanup on copy error".  In C
 * handing over is a plain assignment.  Here it is one too, so the compiler keeps quiet and debug mode reports the second
 * release; where the hand-over is declared with Narrows<>, the pins are spent in the caller and it does not compile.
 */
import {
  all_or_none,
  ERR_PTR,
  FOLL_LONGTERM,
  IS_ERR,
  ITER_SOURCE,
  pin_user_pages_fast,
  unpin_user_pages,
  type HeldUserPages,
  type Narrows,
  type SpentUserPages,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

class RdsMr {
  pages: UserPage[] | null = null;
  /** The destructor. */
  kref_put() {
    const { pages } = this;
    this.pages = null;
    if (pages) unpin_user_pages(pages);
  }
}
export function wrong({ current, buf, fails }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const mr = new RdsMr();
  mr.pages = pages; // get_mr() owns them now
  if (fails) unpin_user_pages(pages); // the cookie could not be copied
  mr.kref_put();
}

/** Takes the pins over. */
const get_mr: Narrows<HeldUserPages, { is: SpentUserPages<"moved by get_mr()"> }, [mr: RdsMr]> = (
  pages,
  mr,
) => {
  mr.pages = [...pages];
};
/** The same bug, with a hand-over that says what it is. */
export function stricter({ current, buf, fails }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const mr = new RdsMr();
  get_mr(pages, mr);
  if (fails) {
    // @ts-expect-error moved by get_mr()
    unpin_user_pages(pages);
  }
  mr.kref_put();
}
export function right({ current, buf, device, fails }: Bench) {
  const pages = all_or_none(pin_user_pages_fast(current, buf, 4, ITER_SOURCE, FOLL_LONGTERM));
  if (IS_ERR(pages)) return pages;
  const mr = new RdsMr();
  get_mr(pages, mr);
  for (const page of mr.pages ?? []) dma_to_device(device, page);
  mr.kref_put();
  if (fails) return ERR_PTR("EFAULT", "the cookie cannot be copied");
}
