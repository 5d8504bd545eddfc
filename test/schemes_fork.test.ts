/** fork() acts on the answer to "is it pinned?": what the false ones of the bias and of extents cost in copies. */
import {
  all_or_none,
  create_task,
  fork,
  get_page,
  get_user_bvec,
  get_user_pages_fast,
  HPAGE_PMD_NR,
  ITER_DEST,
  madvise,
  MADV_HUGEPAGE,
  page_ref_count,
  page_to_pfn,
  PAGE_SIZE,
  pin_user_pages_fast,
  PMD_SIZE,
  put_page,
  put_user_bvec,
  put_user_pages,
  user_ptr_add,
  type Page,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import { boot_plain, fill_pattern, map_anon, must } from "./fixtures.js";

/** The frames of a range as a task sees them; nobody holds them afterwards. */
function frames(current: Task, buf: UserAddr, nr: number): number[] {
  const pages: Page[] = [];
  expect(get_user_pages_fast(current, buf, nr, 0, pages)).toBe(nr);
  return pages.map((page) => {
    const pfn = page_to_pfn(page);
    put_page(page);
    return pfn;
  });
}
/** Indexes of pages that a child does not share. */
function copied_by_fork(current: Task, buf: UserAddr, nr: number): number[] {
  const before = frames(current, buf, nr);
  using child = must(fork(current));
  const theirs = frames(child, buf, nr);
  expect(frames(current, buf, nr)).toEqual(before);
  return [...before.keys()].filter((i) => before[i] !== theirs[i]);
}
type Pin = (current: Task, addr: UserAddr) => Disposable;
const by_page: Pin = (current, addr) => {
  const pages = must(all_or_none(pin_user_pages_fast(current, addr, 1, ITER_DEST)));
  return { [Symbol.dispose]: () => put_user_pages(pages) };
};
const by_extent: Pin = (current, addr) => {
  const bvecs = must(get_user_bvec(current, addr, PAGE_SIZE, ITER_DEST));
  return { [Symbol.dispose]: () => put_user_bvec(bvecs) };
};

describe.each([
  ["bias", by_page],
  ["extents", by_extent],
])("%s", (_, pin) => {
  test("a small page with 1024 references is copied for nothing, one with fewer is shared", () => {
    using machine = boot_plain();
    const current = create_task(machine);
    const buf = map_anon(current, 4 * PAGE_SIZE);
    fill_pattern(current, buf, 4 * PAGE_SIZE);
    using _pinned = pin(current, buf);
    const plain: Page[] = [];
    get_user_pages_fast(current, user_ptr_add(buf, PAGE_SIZE), 2, 0, plain);
    const [many, few] = [plain[0]!, plain[1]!];
    const more: Page[] = [];
    // frames() holds one more for a moment, and gives it back before the fork.
    while (page_ref_count(many) < 1024) more.push(get_page(many));
    while (page_ref_count(few) < 1023) more.push(get_page(few));
    expect(copied_by_fork(current, buf, 4)).toEqual([0, 1]);
    for (const page of [...more, ...plain]) put_page(page);
  });
  test("of a huge page all are copied for the one that is pinned", () => {
    using machine = boot_plain();
    const current = create_task(machine);
    const buf = map_anon(current, PMD_SIZE);
    madvise(current, buf, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
    fill_pattern(current, buf, PMD_SIZE);
    expect(copied_by_fork(current, buf, HPAGE_PMD_NR)).toEqual([]);
    fill_pattern(current, buf, PMD_SIZE);
    const pinned = pin(current, user_ptr_add(buf, 7 * PAGE_SIZE));
    expect(copied_by_fork(current, buf, HPAGE_PMD_NR)).toHaveLength(HPAGE_PMD_NR);
    pinned[Symbol.dispose]();
    expect(copied_by_fork(current, buf, HPAGE_PMD_NR)).toEqual([]);
  });
});
