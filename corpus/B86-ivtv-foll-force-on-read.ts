/**
 * drivers/media/pci/ivtv/ivtv-udma.c and ivtv-yuv.c pinned with FOLL_FORCE what their device only reads, past the protection
 * of the mapping (4.19, 5.11; without the flag in 6.12.117).  The flag is for debuggers, and every driver may give it.  Here
 * it stands in the type of no pin either: the device reads what the user may not.
 */
import {
  all_or_none,
  copy_to_user,
  FOLL_FORCE,
  IS_ERR,
  ITER_SOURCE,
  mprotect,
  munmap,
  PAGE_SIZE,
  pin_user_pages_unlocked,
  PROT_NONE,
  unpin_user_pages,
  type UserAddr,
} from "user-page";
import { Device, dma_to_device, map_pages, type Bench } from "./bench.js";

/** A page that its user may not read. */
function with_secret({ current }: Bench, pin: (addr: UserAddr, encoder: Device) => void) {
  const encoder = new Device();
  const addr = map_pages(current, 1);
  copy_to_user(current, addr, new Uint8Array(PAGE_SIZE).fill(1))._unsafeUnwrap();
  mprotect(current, addr, PAGE_SIZE, PROT_NONE)._unsafeUnwrap();
  pin(addr, encoder);
  munmap(current, addr, PAGE_SIZE)._unsafeUnwrap();
  return encoder.log.length; // pages that the device has read
}
export function wrong(bench: Bench) {
  return with_secret(bench, (addr, encoder) => {
    const flags = FOLL_FORCE;
    const pages = all_or_none(pin_user_pages_unlocked(bench.current, addr, 1, ITER_SOURCE, flags));
    if (IS_ERR(pages)) return;
    for (const page of pages) dma_to_device(encoder, page);
    unpin_user_pages(pages);
  });
}

export function right(bench: Bench) {
  return with_secret(bench, (addr, encoder) => {
    const pages = all_or_none(pin_user_pages_unlocked(bench.current, addr, 1, ITER_SOURCE));
    if (IS_ERR(pages)) return; // EFAULT
    for (const page of pages) dma_to_device(encoder, page);
    unpin_user_pages(pages);
  });
}
