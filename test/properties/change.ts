/** Steps of a random program that end, divide and move references, and those that change the world around them. */
import {
  bio_add_user_bvec,
  bio_add_user_bvecs,
  bio_add_user_page,
  bio_alloc_pinned,
  bio_check_pages_dirty,
  bio_error,
  bio_put,
  bio_release_pages,
  bio_set_end_io,
  bio_set_pages_dirty,
  brd_alloc,
  copy_from_user,
  flush_work,
  folio_page,
  fragment_memory,
  get_page_unless_zero,
  IS_ERR,
  kill_task,
  madvise,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  mmap,
  mprotect,
  munmap,
  page_folio,
  page_ref_count,
  page_ref_freeze,
  page_ref_unfreeze,
  page_to_pfn,
  pfn_to_page,
  pop_user_bvec,
  run_softirqs,
  split_user_bvec,
  submit_bio,
  submit_bio_wait,
  unpin_user_folio,
  type Page,
  type PinnedBio,
  type PinnedBvec,
  type PinnedBvecList,
  type UserPage,
} from "user-page";
import { forced, must, pattern_of } from "../fixtures.js";
import { hold_bvec, range_of, type Range, type Step } from "./acquire.js";
import { PAGE, SLOTS, UNMAPPED, type Holding, type World } from "./world.js";

// --- what is held ---------------------------------------------------------------------------------------
const release: Step = (w, a, _b, c) => {
  const holding = w.holdings[a % Math.max(1, w.holdings.length)];
  if (!holding || holding.what === "in flight") return null;
  w.drop(holding);
  holding.release(c);
  return holding.what;
};
const split: Step = (w, a, b) => {
  const holding = w.pick(a, "bvec");
  if (!holding) return null;
  const rest = split_user_bvec(holding.handle as PinnedBvec, b % 9000);
  return IS_ERR(rest) ? rest.errno : hold_bvec(w, rest, holding.dest);
};
const pop: Step = (w, a) => {
  const holding = w.pick(a, "list");
  if (!holding) return null;
  const bvec = pop_user_bvec(holding.handle as PinnedBvecList);
  if (!bvec) return "empty";
  holding.pins.shift();
  holding.bvecs--;
  return hold_bvec(w, bvec, holding.dest);
};
/** All pins of a folio at once, where one array holds them and nothing else. */
const unpin_folio: Step = (w, a) => {
  const holding = w.pick(a, "array");
  if (!holding || holding.pins.length === 0) return null;
  const folio = page_folio((holding.handle as UserPage[])[0]!);
  const head = page_to_pfn(folio as never);
  const inside = (pfn: number): boolean =>
    page_to_pfn(page_folio(pfn_handle(w, pfn)) as never) === head;
  const alone = w.holdings.every((h) => h === holding || !h.pins.some(inside));
  if (!alone || !holding.pins.every(inside) || head === w.state.zero_pfn) return null;
  w.drop(holding);
  unpin_user_folio(folio, holding.pins.length);
  return holding.pins.length;
};
const pfn_handle = (w: World, pfn: number): Page =>
  must(pfn_to_page(w.machine, pfn as never)) as never;

// --- bios -------------------------------------------------------------------------------------------------
const new_bio: Step = (w, a, b, c) => {
  const op = c & 1 ? "REQ_OP_READ" : "REQ_OP_WRITE";
  const bio: PinnedBio = bio_alloc_pinned(w.disk, 1 + (a % 8), op, b % 2048);
  w.hold({
    what: "bio",
    plain: [],
    pins: [],
    bvecs: 0,
    handle: bio,
    dest: op === "REQ_OP_READ",
    release(variant) {
      if (variant & 1) return bio[Symbol.dispose]();
      forced(bio_release_pages)(bio, false);
      forced(bio_put)(bio);
    },
  });
  return op;
};
function moved(from: Holding, to: Holding, pins: number): void {
  to.pins.push(...from.pins.splice(0, pins));
  const extents = Math.min(from.bvecs, pins);
  from.bvecs -= extents;
  to.bvecs += extents;
}
const move: Step = (w, a, b, c) => {
  const to = w.pick(a, "bio");
  const from = w.pick(b, "pin", "bvec", "list");
  if (!to || !from || (to.dest && !from.dest)) return null;
  const bio = to.handle as PinnedBio;
  if (from.what === "list") {
    const list = from.handle as PinnedBvecList;
    const before = list.nr_segs;
    const bytes = forced<number>(bio_add_user_bvecs)(bio, list);
    moved(from, to, before - list.nr_segs);
    return bytes;
  }
  const [len, offset] = [1 + (c % 512), c % 3000];
  const taken =
    from.what === "pin"
      ? forced<boolean>(bio_add_user_page)(bio, from.handle, len, offset)
      : forced<boolean>(bio_add_user_bvec)(bio, from.handle);
  if (taken) {
    w.drop(from);
    moved(from, to, 1);
  }
  return taken;
};
const submit: Step = (w, a, _b, c) => {
  const holding = w.pick(a, "bio");
  if (!holding) return null;
  w.drop(holding);
  const bio = holding.handle as PinnedBio;
  if (c & 1) {
    const error = submit_bio_wait(bio, w.tasks[0]);
    run_softirqs(w.machine);
    forced(bio_release_pages)(bio, holding.dest && (c & 2) !== 0, w.tasks[0]);
    forced(bio_put)(bio);
    return error?.errno;
  }
  if (holding.dest) forced(bio_set_pages_dirty)(bio, w.tasks[0]);
  const in_flight: Holding = { ...holding, what: "in flight" };
  w.hold(in_flight);
  bio_set_end_io(bio, (ended) => {
    const error = bio_error(ended);
    w.completed.push(error ? error.errno : "ok");
    w.drop(in_flight);
    if (holding.dest) return bio_check_pages_dirty(ended);
    bio_release_pages(ended, false);
    bio_put(ended);
  });
  submit_bio(bio);
  return "submitted";
};
const complete: Step = (w, a) => (a & 1 ? run_softirqs(w.machine) : flush_work(w.machine));
const replace_disk: Step = (w) => {
  w.disk[Symbol.dispose]();
  // Bios that are not submitted belong to the old disk: they end with EIO.
  w.disk = must(brd_alloc(w.machine, 1 << 20));
  return "closed";
};

// --- address spaces ---------------------------------------------------------------------------------------
const set_prot = (w: World, r: Range, prot: number): void => {
  w.prot[r.task * SLOTS + r.slot]!.fill(prot, r.page, r.page + r.nr);
};
export function map(w: World, r: Range, prot: number): string {
  const { task, slot, addr, nr, page } = r;
  const current = w.tasks[task]!;
  const flags = MAP_FIXED | (slot === 2 ? MAP_SHARED : MAP_PRIVATE);
  const result =
    slot < 2
      ? mmap(current, addr, nr * PAGE, prot, flags | MAP_ANONYMOUS)
      : mmap(current, addr, nr * PAGE, prot, flags, w.files[slot - 2], page * PAGE);
  result._unsafeUnwrap();
  if (slot === 1) madvise(current, addr, nr * PAGE, MADV_HUGEPAGE)._unsafeUnwrap();
  set_prot(w, r, prot);
  return "mapped";
}
const remap: Step = (w, a, b, c) => map(w, range_of(a, b), c & 1 ? 3 : 1);
const unmap: Step = (w, a, b) => {
  const r = range_of(a, b);
  munmap(w.tasks[r.task]!, r.addr, r.nr * PAGE)._unsafeUnwrap();
  set_prot(w, r, UNMAPPED);
  return "unmapped";
};
const is_mapped = (w: World, r: Range): boolean =>
  w.accessible(r.task, r.slot, r.page, r.nr, 0) === r.nr;
const protect: Step = (w, a, b, c) => {
  const r = range_of(a, b);
  const prot = [0, 1, 3][c % 3]!;
  const done = mprotect(w.tasks[r.task]!, r.addr, r.nr * PAGE, prot);
  if (done.isOk() !== is_mapped(w, r)) throw new Error("mprotect() and the model differ");
  if (done.isOk()) set_prot(w, r, prot);
  return done.isOk();
};
const ADVICE = [
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
] as const;
const advise: Step = (w, a, b, c) => {
  const r = range_of(a, b);
  const done = madvise(w.tasks[r.task]!, r.addr, r.nr * PAGE, ADVICE[c % ADVICE.length]!);
  if (done.isOk() && !is_mapped(w, r)) throw new Error("advice about a hole");
  return done.isOk() ? "ok" : done.error.errno;
};
const access: Step = (w, a, b, c) => {
  const r = { ...range_of(a, b), nr: Math.min(3, range_of(a, b).nr) };
  const offset = c % PAGE;
  const len = Math.max(1, r.nr * PAGE - offset - ((c >> 3) % 100));
  const nr = Math.floor((offset + len - 1) / PAGE) + 1;
  const write = (c & 1) === 1;
  const bytes = write ? pattern_of(len, c) : new Uint8Array(len);
  const addr = (r.addr + offset) as never;
  const ok = write
    ? w.write(r.task, addr, bytes)
    : copy_from_user(w.tasks[r.task]!, bytes, addr).isOk();
  const allowed = w.accessible(r.task, r.slot, r.page, nr, write ? 2 : 1) === nr;
  if (ok !== allowed && (ok || w.roomy_before)) throw new Error("access and the model differ");
  return [ok, bytes.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 0)];
};

// --- trouble ------------------------------------------------------------------------------------------------
const exhaust: Step = (w, a) => {
  if (w.fragments) {
    w.fragments[Symbol.dispose]();
    w.fragments = null;
    w.withheld.clear();
    return "given back";
  }
  w.fragments = fragment_memory(w.machine, (index) => {
    const keep = a % 3 === 0 || index % 2 === 1;
    if (keep) w.withheld.add(index);
    return keep;
  });
  return w.fragments.nr_pages;
};
const freeze: Step = (w, a) => {
  const holding = w.pick(a, "page", "folio");
  if (!holding) return null;
  const page =
    holding.what === "folio"
      ? (folio_page(holding.handle as never, 0) as Page)
      : (holding.handle as Page);
  const count = page_ref_count(page);
  if (page_ref_freeze(page, count + 1)) throw new Error("frozen with another count");
  if (!page_ref_freeze(page, count)) throw new Error("not frozen with the right count");
  const found = get_page_unless_zero(must(pfn_to_page(w.machine, page_to_pfn(page))));
  if (found !== null) throw new Error("a reference on a frozen page");
  page_ref_unfreeze(page, count);
  return count;
};
const kill: Step = (w, a) => {
  if (a % 8 !== 0) return null;
  kill_task(w.tasks[1]);
  w.killed = true;
  return "killed";
};
export const change: Readonly<Record<string, Step>> = {
  release,
  release_more: release,
  split,
  pop,
  unpin_folio,
  new_bio,
  move,
  move_more: move,
  submit,
  complete,
  replace_disk,
  remap,
  unmap,
  protect,
  advise,
  access,
  exhaust,
  freeze,
  kill,
};
