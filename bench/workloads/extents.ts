/** One reference for each run of pages, against one for each page. */
import {
  boot,
  create_task,
  get_user_bvec,
  get_user_page,
  IS_ERR,
  IS_SHORT,
  ITER_DEST,
  pin_user_pages_fast,
  put_user_bvec,
  put_user_page,
  put_user_pages,
  user_ptr_add,
  type OwnedUserPage,
  type Task,
  type UserAddr,
} from "user-page";
import type { Workload } from "../serve.js";
import { check_pins, GIB, populated_gib, WINDOW, word } from "./common.js";

const BYTES = WINDOW * 4096;
const held: Array<OwnedUserPage<"dest", "short">> = [];

function by_extent(current: Task, addr: UserAddr, bytes: number, segments: number): void {
  const bvecs = get_user_bvec(current, addr, bytes, ITER_DEST);
  if (IS_ERR(bvecs)) throw new Error(bvecs.message);
  if (bvecs.nr_segs !== segments) throw new Error(`${bvecs.nr_segs} extents`);
  put_user_bvec(bvecs);
}
function by_page(current: Task, addr: UserAddr): void {
  for (let j = 0; j < WINDOW; j++) {
    const page = get_user_page(current, user_ptr_add(addr, j * 4096), ITER_DEST);
    if (IS_ERR(page)) throw new Error(page.message);
    held[j] = page;
  }
  for (let j = 0; j < WINDOW; j++) put_user_page(held[j]!);
}
function by_batch(current: Task, addr: UserAddr): void {
  const pages = pin_user_pages_fast(current, addr, WINDOW, ITER_DEST);
  if (IS_ERR(pages) || IS_SHORT(pages)) throw new Error("some pages were not pinned");
  put_user_pages(pages);
}

/** `<extent|pages|batch>` for 2 MiB of a huge page, `<gib_huge|gib_small>` for 1 GiB by extents. */
export function extents(args: readonly string[]): Workload {
  const how = word(args[0], "extent", "pages", "batch", "gib_huge", "gib_small");
  const machine = boot({ mem: GIB + (8 << 20) });
  const current = create_task(machine);
  const start = populated_gib(current, how !== "gib_small");
  let offset = 0;
  const step = (once: (addr: UserAddr) => void) => (windows: number) => {
    for (let w = 0; w < windows; w++) {
      once(user_ptr_add(start, offset));
      offset = (offset + BYTES) % GIB;
    }
  };
  const whole = (segments: number) => (windows: number) => {
    for (let w = 0; w < windows; w++) by_extent(current, start, GIB, segments);
  };
  const chunks = {
    extent: step((addr) => by_extent(current, addr, BYTES, 1)),
    pages: step((addr) => by_page(current, addr)),
    batch: step((addr) => by_batch(current, addr)),
    gib_huge: whole(512),
    gib_small: whole(262_144),
  };
  return { chunk: chunks[how], per_window: 1, check: () => check_pins(machine, true) };
}
