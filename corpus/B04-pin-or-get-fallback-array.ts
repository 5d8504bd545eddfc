/**
 * NVIDIA's open driver pinned page by page, and where a pin failed took a plain reference on the page it looked up; one
 * loop then unpinned them all (issue 563, "Rocky Linux 8.8 crash").  Both kinds were struct page * in one array.  Here
 * the array's element is a union, and no release takes a union.
 */
import {
  get_user_page,
  get_user_pages_fast,
  IS_ERR,
  ITER_SOURCE,
  PAGE_SIZE,
  put_page,
  put_user_page,
  unpin_user_page,
  user_ptr_add,
  type Page,
  type UserPage,
} from "user-page";
import { dma_to_device, type Bench } from "./bench.js";

const NR = 4;
/** A page that cannot be pinned: it is looked up and referenced. */
function lookup_and_get({ current, buf }: Bench, i: number): Page {
  const found: Page[] = [];
  get_user_pages_fast(current, user_ptr_add(buf, i * PAGE_SIZE), 1, 0, found);
  return found[0]!;
}
export function wrong(bench: Bench) {
  const refs: Array<Page | UserPage> = [];
  for (let i = 0; i < NR; i++) {
    const cannot = bench.fails && i === 2;
    const pinned = get_user_page(
      bench.current,
      user_ptr_add(bench.buf, i * PAGE_SIZE),
      ITER_SOURCE,
    );
    if (IS_ERR(pinned)) return pinned;
    if (cannot) {
      put_user_page(pinned);
      refs.push(lookup_and_get(bench, i));
    } else refs.push(pinned);
  }
  for (const ref of refs) {
    // @ts-expect-error a plain page perhaps
    unpin_user_page(ref);
  }
}

type Ref =
  | { readonly kind: "PIN"; readonly page: UserPage }
  | { readonly kind: "GET"; readonly page: Page };
export function right(bench: Bench) {
  const refs: Ref[] = [];
  for (let i = 0; i < NR; i++) {
    if (bench.fails && i === 2) {
      refs.push({ kind: "GET", page: lookup_and_get(bench, i) });
      continue;
    }
    const addr = user_ptr_add(bench.buf, i * PAGE_SIZE);
    const page = get_user_page(bench.current, addr, ITER_SOURCE);
    if (IS_ERR(page)) return page;
    refs.push({ kind: "PIN", page });
  }
  for (const ref of refs) {
    dma_to_device(bench.device, ref.page);
    if (ref.kind === "PIN") unpin_user_page(ref.page);
    else put_page(ref.page);
  }
}
