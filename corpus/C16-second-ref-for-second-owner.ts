/**
 * fuse_try_move_page() of fs/fuse/dev.c takes a reference on a page it holds and puts the same pointer twice: one reference
 * protects it for the length of the call, one belonged to the slot.  Here each owner has a handle of its own.
 */
import { alloc_page, get_page, IS_ERR, memcpy_to_page, put_page, type Page } from "user-page";
import type { Bench } from "./bench.js";

interface Slot {
  page: Page;
}
export function right({ current, fails }: Bench) {
  const old = alloc_page(current);
  if (IS_ERR(old)) return old;
  const slot: Slot = { page: old };
  const safety = get_page(slot.page);
  const newpage = alloc_page(current);
  if (IS_ERR(newpage) || fails) {
    if (!IS_ERR(newpage)) put_page(newpage);
    put_page(safety);
    put_page(slot.page);
    return -12;
  }
  const replaced = slot.page;
  slot.page = get_page(newpage);
  put_page(replaced);
  memcpy_to_page(safety, 0, new Uint8Array(1));
  put_page(safety);
  put_page(newpage);
  put_page(slot.page);
}
