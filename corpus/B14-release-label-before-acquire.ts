/**
 * memflow-kvm jumped to a label that puts all pages when an allocation before the acquiring call failed: the array was
 * still uninitialised (pull request 14, found in review).  C reads whatever the memory holds.  Here an array that nobody
 * filled has no elements, and an index beyond them is undefined, which no release takes.
 */
import { ERR_PTR, get_user_pages_unlocked, put_page, type Page } from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

const NR = 4;
/** vmalloc() of the second array. */
const vmalloc = (fails: boolean): object | null => (fails ? null : {});

export function wrong({ current, buf, fails }: Bench) {
  const pages: Page[] = [];
  const tmp = vmalloc(fails);
  if (tmp) get_user_pages_unlocked(current, buf, NR, pages, 0);
  // free_pages:
  for (let i = 0; i < NR; i++) {
    // @ts-expect-error nothing may be there
    put_page(pages[i]);
  }
}

export function right({ current, buf, device, fails }: Bench) {
  const tmp = vmalloc(fails);
  if (!tmp) return ERR_PTR("ENOMEM", "no second array");
  const pages: Page[] = [];
  get_user_pages_unlocked(current, buf, NR, pages, 0);
  for (const page of pages) {
    dma_to_device(device, page);
    put_page(page);
  }
}
