/** Steps of a random program that take references, and what the model expects of them. */
import {
  alloc_page,
  folio_alloc,
  FOLL_LONGTERM,
  get_page,
  get_user_bvec,
  get_user_bvec_remote,
  get_user_page,
  get_user_pages,
  get_user_pages_fast,
  gup_flags,
  IS_ERR,
  IS_SHORT,
  mmap_read_lock,
  page_to_pfn,
  page_to_user_page,
  pin_user_pages,
  pin_user_pages_fast,
  pin_user_pages_remote,
  pin_user_pages_unlocked,
  put_page,
  folio_put,
  put_user_bvec,
  put_user_bvec_dirty_lock,
  put_user_page,
  put_user_pages,
  put_user_pages_dirty_lock,
  try_get_page,
  unpin_user_pages,
  vaddr_pin_pages,
  vaddr_unpin_pages,
  VaddrPin,
  ZERO_PAGE,
  zero_user_bvec,
  type Dir,
  type Folio,
  type HeldUserPages,
  type Page,
  type PinnedBvec,
  type PinnedBvecList,
  type PinResult,
  type UserAddr,
  type UserPage,
} from "user-page";
import { forced, must } from "../fixtures.js";
import { PAGE, slot_addr, SLOT_PAGES, SLOTS, type World } from "./world.js";

export type Step = (w: World, a: number, b: number, c: number) => unknown;

const STARTS = [0, 1, 2, 5, 300, 509, 510, 511, 512, 513, 700, 1020] as const;
const LENGTHS = [1, 2, 3, 4, 8, 64, 300, 513, 600] as const;
export interface Range {
  readonly task: number;
  readonly slot: number;
  readonly page: number;
  readonly nr: number;
  readonly addr: UserAddr;
}
export function range_of(a: number, b: number): Range {
  const slot = (a >> 1) % SLOTS;
  const page = STARTS[(a >> 3) % STARTS.length]!;
  const nr = Math.min(LENGTHS[b % LENGTHS.length]!, SLOT_PAGES - page);
  return { task: a & 1, slot, page, nr, addr: (slot_addr(slot) + page * PAGE) as never };
}
const dir_of = (c: number): Dir => (c & 1 ? "dest" : "source");

/** Whether `got` pages of the range are what the model allows; an exact number where nothing can run out. */
function judge(w: World, r: Range, dir: Dir, got: number): void {
  const expected = w.accessible(r.task, r.slot, r.page, r.nr, dir === "dest" ? 2 : 1);
  // The second task may have been killed, and walks on behalf of the first in the remote calls.
  const exact = w.roomy_before && !w.killed;
  if (got > expected || (exact && got !== expected)) {
    throw new Error(`${got} pages; the model says ${expected} of ${r.nr}`);
  }
}
const pfns_of = (pages: readonly UserPage[]): number[] => pages.map((page) => page_to_pfn(page));

function hold_pins(w: World, pinned: PinResult, r: Range, dir: Dir, owner?: VaddrPin): unknown {
  if (IS_ERR(pinned)) {
    judge(w, r, dir, 0);
    return pinned.errno;
  }
  const pages = IS_SHORT(pinned) ? pinned.partial : pinned;
  judge(w, r, dir, pages.length);
  const pins = pfns_of(pages);
  const [current] = w.tasks;
  w.hold({
    what: "array",
    plain: [],
    pins,
    bvecs: 0,
    handle: pages,
    dest: dir === "dest",
    release(variant) {
      const held = pages as HeldUserPages;
      if (owner) vaddr_unpin_pages(held, owner);
      else if (dir === "dest" && variant & 1) forced(put_user_pages_dirty_lock)(held, current);
      else if (variant & 2) unpin_user_pages(held);
      else if (variant & 4) forced<void>(() => pages[Symbol.dispose]())();
      else put_user_pages(held);
    },
  });
  return pins.map((pfn) => pfn - w.state.base);
}
function hold_page(w: World, page: Page): unknown {
  const pfn = page_to_pfn(page);
  const release = (): void => put_page(page);
  w.hold({ what: "page", plain: [pfn], pins: [], bvecs: 0, handle: page, dest: true, release });
  return pfn - w.state.base;
}
export function hold_pin(w: World, page: UserPage, dest: boolean): unknown {
  const pfn = page_to_pfn(page);
  const release = (): void => put_user_page(page);
  w.hold({ what: "pin", plain: [], pins: [pfn], bvecs: 0, handle: page, dest, release });
  return pfn - w.state.base;
}
export function hold_bvec(w: World, bvec: PinnedBvec, dest: boolean): unknown {
  const pfn = page_to_pfn(bvec.page);
  w.hold({
    what: "bvec",
    plain: [],
    pins: [pfn],
    bvecs: 1,
    handle: bvec,
    dest,
    release(variant) {
      if (dest && variant & 1) forced(put_user_bvec_dirty_lock)(bvec, w.tasks[0]);
      else if (variant & 2) bvec[Symbol.dispose]();
      else put_user_bvec(bvec);
    },
  });
  return [pfn - w.state.base, bvec.offset, bvec.len];
}
function hold_list(w: World, list: PinnedBvecList, dest: boolean): unknown {
  const segs = [...list];
  w.hold({
    what: "list",
    plain: [],
    pins: segs.map((bvec) => page_to_pfn(bvec.page)),
    bvecs: segs.length,
    handle: list,
    dest,
    release(variant) {
      if (dest && variant & 1) forced(put_user_bvec_dirty_lock)(list, w.tasks[0]);
      else if (variant & 2) list[Symbol.dispose]();
      else put_user_bvec(list);
    },
  });
  return segs.map((bvec) => [page_to_pfn(bvec.page) - w.state.base, bvec.offset, bvec.len]);
}

function pin(w: World, a: number, b: number, c: number): unknown {
  const r = range_of(a, b);
  const dir = dir_of(c);
  const current = w.tasks[r.task]!;
  const flags = c & 2 ? FOLL_LONGTERM : gup_flags();
  switch ((c >> 2) % 5) {
    case 0:
      return hold_pins(w, pin_user_pages_fast(current, r.addr, r.nr, dir, flags), r, dir);
    case 1: {
      using lock = mmap_read_lock(current, current.mm);
      return hold_pins(w, pin_user_pages(lock, r.addr, r.nr, dir, flags), r, dir);
    }
    case 2:
      return hold_pins(w, pin_user_pages_unlocked(current, r.addr, r.nr, dir, flags), r, dir);
    case 3: {
      using lock = mmap_read_lock(w.tasks[1 - r.task]!, current.mm);
      return hold_pins(w, pin_user_pages_remote(lock, r.addr, r.nr, dir, flags), r, dir);
    }
    default: {
      const owner = new VaddrPin("file");
      const pinned = vaddr_pin_pages(current, r.addr, r.nr, dir, owner);
      return hold_pins(w, pinned, r, dir, owner);
    }
  }
}
function get(w: World, a: number, b: number, c: number): unknown {
  const r = range_of(a, b);
  const dir = dir_of(c);
  const current = w.tasks[r.task]!;
  const pages: Page[] = [];
  const flags = dir === "dest" ? (1 as never) : 0;
  let got: number;
  if (c & 2) got = get_user_pages_fast(current, r.addr, r.nr, flags, pages);
  else {
    using lock = mmap_read_lock(current, current.mm);
    got = get_user_pages(lock, r.addr, r.nr, flags, c & 4 ? null : pages);
  }
  judge(w, r, dir, Math.max(0, got));
  return [got, ...pages.map((page) => hold_page(w, page))];
}
function bvecs(w: World, a: number, b: number, c: number): unknown {
  const r = range_of(a, b);
  const dir = dir_of(c);
  const current = w.tasks[r.task]!;
  const skip = (c >> 4) % PAGE;
  const addr = (r.addr + skip) as UserAddr;
  const len = Math.max(1, r.nr * PAGE - skip - ((c >> 5) % PAGE));
  const list =
    c & 2
      ? get_user_bvec(current, addr, len, dir)
      : get_user_bvec_remote(w.tasks[1 - r.task]!, current.mm, addr, len, dir);
  const nr = Math.floor((skip + len - 1) / PAGE) + 1;
  if (IS_ERR(list)) {
    const all = w.accessible(r.task, r.slot, r.page, nr, dir === "dest" ? 2 : 1) === nr;
    if (all && w.roomy_before && !w.killed) throw new Error(`refused: ${list.errno}`);
    return list.errno;
  }
  judge(w, { ...r, nr }, dir, nr);
  let at = 0;
  for (const bvec of list) at += bvec.len;
  if (at !== len || list.count !== len) throw new Error(`${at} of ${len} bytes`);
  return hold_list(w, list, dir === "dest");
}
function one_pin(w: World, a: number, b: number, c: number): unknown {
  const r = { ...range_of(a, b), nr: 1 };
  const dir = dir_of(c);
  const page = get_user_page(w.tasks[r.task]!, (r.addr + (c % PAGE)) as UserAddr, dir);
  judge(w, r, dir, IS_ERR(page) ? 0 : 1);
  return IS_ERR(page) ? page.errno : hold_pin(w, page, dir === "dest");
}
function again(w: World, a: number, _b: number, c: number): unknown {
  const held = w.pick(a, "page");
  if (!held) return hold_page(w, get_page(ZERO_PAGE(w.tasks[0])));
  const page = held.handle as Page;
  if (c & 1) return hold_page(w, get_page(page));
  if (c & 2) return hold_pin(w, must(page_to_user_page(page)), false);
  const tried = try_get_page(page);
  return tried && hold_page(w, tried);
}
function alloc(w: World, a: number, _b: number, c: number): unknown {
  if (c & 1) {
    const page = alloc_page(w.tasks[0]);
    return IS_ERR(page) ? page.errno : hold_page(w, page);
  }
  const folio = folio_alloc(w.tasks[0], a % 11);
  if (IS_ERR(folio)) return folio.errno;
  const kept: Folio = folio;
  const pfn = page_to_pfn(kept as never);
  const release = (): void => folio_put(kept);
  w.hold({ what: "folio", plain: [pfn], pins: [], bvecs: 0, handle: kept, dest: true, release });
  return pfn - w.state.base;
}
function zero(w: World, a: number, _b: number, c: number): unknown {
  if (c & 1) return hold_pin(w, must(page_to_user_page(ZERO_PAGE(w.tasks[0]))), false);
  const bvec = zero_user_bvec(w.tasks[0], a % 5000);
  return IS_ERR(bvec) ? bvec.errno : hold_bvec(w, bvec, false);
}
export const acquire: Readonly<Record<string, Step>> = {
  pin,
  get,
  bvecs,
  one_pin,
  again,
  alloc,
  zero,
};
