/**
 * tun_build_skb() of drivers/net/tun.c takes a reference on a fragment for two verdicts of the XDP program, and dropped one
 * whenever the result was negative: "tun: Don't put_page() for all negative return values from XDP program".  The extra
 * reference has no variable of its own in C.  Here get_page() returns one; putting the fragment itself instead compiles,
 * and its owner's later release is reported in debug mode.
 */
import { alloc_page, get_page, IS_ERR, memcpy_to_page, put_page, type Page } from "user-page";
import type { Bench } from "./bench.js";

type XdpAction = "XDP_DROP" | "XDP_TX";
/** The allocator of the queue, which keeps a reference of its own. */
interface PageFrag {
  page: Page;
}
function tun_build_skb(frag: PageFrag, act: XdpAction, err: number) {
  if (act === "XDP_TX") get_page(frag.page);
  if (err < 0) {
    put_page(frag.page); // nothing was taken for XDP_DROP
    return err;
  }
  return 0;
}
function page_frag_free(frag: PageFrag) {
  put_page(frag.page);
}
export function wrong({ current, fails }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const frag: PageFrag = { page };
  tun_build_skb(frag, "XDP_DROP", fails ? -1 : 0);
  page_frag_free(frag);
}

function tun_build_skb_with_a_reference(frag: PageFrag, act: XdpAction, err: number) {
  const extra = act === "XDP_TX" ? get_page(frag.page) : null;
  if (err < 0) {
    if (extra) put_page(extra);
    return err;
  }
  if (extra) put_page(extra); // sent
  return 0;
}
export function right({ current, fails }: Bench) {
  const page = alloc_page(current);
  if (IS_ERR(page)) return page;
  const frag: PageFrag = { page };
  memcpy_to_page(frag.page, 0, new Uint8Array(64)); // the packet
  const sent = tun_build_skb_with_a_reference(frag, "XDP_TX", fails ? -1 : 0);
  const dropped = tun_build_skb_with_a_reference(frag, "XDP_DROP", fails ? -1 : 0);
  page_frag_free(frag);
  return sent + dropped;
}
