/**
 * rds_info_getsockopt() of net/rds/info.c pinned pages to write, wrote them and unpinned them clean: "rds: mark snapshot pages
 * dirty in rds_info_getsockopt()".  When the file was synced in between, the page is clean, and memory is reclaimed without
 * what was written.  Nothing here obliges a pin to write to end dirty.  Under the policies of Linux the bytes are lost; under
 * this library's the page stays dirty for as long as it is pinned.
 */
import {
  all_or_none,
  IS_ERR,
  ITER_DEST,
  PAGE_SIZE,
  pin_user_pages_fast,
  unpin_user_pages,
  unpin_user_pages_dirty_lock,
} from "user-page";
import {
  Device,
  device_byte,
  dma_from_device,
  mapped_file,
  wrong_pages,
  type Bench,
} from "./bench.js";

const SNAPSHOT = Uint8Array.from({ length: PAGE_SIZE }, (_, i) => device_byte(i));

function lost(bench: Bench, policy: "linux" | "hold") {
  const { current } = bench;
  using mapped = mapped_file(bench, policy);
  const pages = all_or_none(pin_user_pages_fast(current, mapped.addr, 1, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  mapped.sync();
  const device = new Device();
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages(pages);
  return wrong_pages(mapped.read_back(), SNAPSHOT);
}

export function wrong(bench: Bench) {
  const in_linux = lost(bench, "linux");
  const here = lost(bench, "hold");
  return here === 0 ? in_linux : "lost under both policies";
}

export function right(bench: Bench) {
  const { current } = bench;
  using mapped = mapped_file(bench, "hold");
  const pages = all_or_none(pin_user_pages_fast(current, mapped.addr, 1, ITER_DEST));
  if (IS_ERR(pages)) return pages;
  mapped.sync();
  const device = new Device();
  for (const page of pages) dma_from_device(device, page);
  unpin_user_pages_dirty_lock(pages, true, current);
  return wrong_pages(mapped.read_back(), SNAPSHOT);
}
