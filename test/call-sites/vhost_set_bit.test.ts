/** The dirty log: the right bits, what others can see of the page meanwhile, and the dirty bit. */
import {
  copy_from_user,
  create_task,
  folio_maybe_dma_pinned,
  madvise,
  MADV_DONTNEED,
  MADV_HUGEPAGE,
  munmap,
  page_folio,
  page_to_pfn,
  PAGE_SIZE,
  PMD_SIZE,
  user_ptr_add,
  type BorrowedDestBvec,
  type BorrowedPage,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/vhost_set_bit/converted.js";
import * as legacy from "../../call-sites/vhost_set_bit/legacy.js";
import { boot_for_test, boot_plain, debug_mode, fill_pattern, map_anon } from "../fixtures.js";
import { dirty, errno_name, extents, left_over, misuse_of, NOTHING, pins } from "./device.js";

/** What somebody sees who looks at the page while the bit is set: its number, and whether it looks pinned. */
type Look = (pfn: number, pinned: boolean) => void;
class WatchedLegacy extends legacy.VhostLog {
  look: Look = () => undefined;
  protected override set_bit(page: BorrowedPage, offset: number, nr: number): void {
    this.look(page_to_pfn(page), folio_maybe_dma_pinned(page_folio(page)));
    super.set_bit(page, offset, nr);
  }
}
class WatchedConverted extends converted.VhostLog {
  look: Look = () => undefined;
  protected override set_bit(bvec: BorrowedDestBvec, nr: number): void {
    this.look(page_to_pfn(bvec.page), folio_maybe_dma_pinned(page_folio(bvec.page)));
    super.set_bit(bvec, nr);
  }
}
function log_at(current: Task, at: UserAddr, bytes: number): Uint8Array {
  const log = new Uint8Array(bytes);
  copy_from_user(current, log, at)._unsafeUnwrap();
  return log;
}

describe.each([
  ["legacy", WatchedLegacy],
  ["converted", WatchedConverted],
] as const)("%s", (name, VhostLog) => {
  const pinned = name === "converted";

  test("the bits of the pages that were written, over a page boundary of the log", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const base = map_anon(current, 2 * PAGE_SIZE);
    const before = fill_pattern(current, base, 2 * PAGE_SIZE);
    const log = new VhostLog(base);
    // Guest pages 32762 to 32773: the last 6 bits of the first page of the log, and 6 of the second.
    const guest = 32762 * 4096 + 17;
    expect(errno_name(log.log_write(current, guest, 11 * 4096 + 10))).toBeNull();
    const expected = before.slice();
    for (let bit = 32762; bit <= 32773; bit++) expected[bit >> 3]! |= 1 << (bit & 7);
    expect(expected).not.toEqual(before);
    expect(log_at(current, base, 2 * PAGE_SIZE)).toEqual(expected);
    expect(pins(machine)).toEqual(pinned ? [12, 12] : [0, 0]);
    expect(extents(machine)).toEqual(pinned ? [12, 12] : [0, 0]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("while the CPU writes, the page looks pinned only if it is; afterwards it is dirty", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const base = map_anon(current, PAGE_SIZE);
    fill_pattern(current, base, PAGE_SIZE);
    const log = new VhostLog(base);
    const seen: Array<[number, boolean]> = [];
    log.look = (pfn, looks_pinned) => seen.push([pfn, looks_pinned]);
    expect(errno_name(log.set_bit_to_user(current, 3, user_ptr_add(base, 7)))).toBeNull();
    expect(seen.map(([, looks_pinned]) => looks_pinned)).toEqual([pinned]);
    expect(dirty(seen.map(([pfn]) => pfn))).toEqual([true]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a log the program never touched: the bit is in it, and in nobody's zero page", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const base = map_anon(current, PAGE_SIZE);
    expect(errno_name(new VhostLog(base).set_bit_to_user(current, 5, base))).toBeNull();
    expect(log_at(current, base, 2)).toEqual(new Uint8Array([0x20, 0]));
    const stranger = create_task(machine);
    expect(log_at(stranger, map_anon(stranger, PAGE_SIZE), 2)).toEqual(new Uint8Array(2));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a log in a huge page", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const base = map_anon(current, PMD_SIZE);
    madvise(current, base, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
    const log = new VhostLog(base);
    log.log_write(current, 4096 * 8 * 70000, 1);
    expect(log_at(current, user_ptr_add(base, 69999), 3)).toEqual(new Uint8Array([0, 1, 0]));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("no log in the middle of the range: EFAULT, and nothing is held", () => {
    const machine = boot_for_test();
    const current = create_task(machine);
    const base = map_anon(current, 2 * PAGE_SIZE);
    munmap(current, user_ptr_add(base, PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const log = new VhostLog(base);
    expect(errno_name(log.log_write(current, 32766 * 4096, 4 * 4096))).toBe("EFAULT");
    expect(log_at(current, user_ptr_add(base, 4095), 1)).toEqual(new Uint8Array([0xc0]));
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("the hazard: without the dirty bit nobody writes the log back, and nothing is reported", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const base = map_anon(current, PAGE_SIZE);
  fill_pattern(current, base, PAGE_SIZE);
  const log = new WatchedLegacy(base);
  let pfn = 0;
  log.look = (seen) => (pfn = seen);
  expect(misuse_of(() => log.set_bit_without_dirty(current, 0, base))).toBeNull();
  expect(dirty([pfn])).toEqual([false]);
  expect(left_over(machine)).toEqual(NOTHING);
});
test("the hazard: put, then dirty: debug mode reports the use after the release", () => {
  const machine = boot_for_test();
  const current = create_task(machine);
  const base = map_anon(current, PAGE_SIZE);
  fill_pattern(current, base, PAGE_SIZE);
  const log = new WatchedLegacy(base);
  const found = misuse_of(() => log.set_bit_puts_first(current, 0, base));
  expect(found).toBe(debug_mode ? "use-after-release" : null);
});
test("and without debug mode, if the program unmaps the log meanwhile: a free page is marked dirty", () => {
  const machine = boot_plain();
  const current = create_task(machine);
  const base = map_anon(current, PAGE_SIZE);
  fill_pattern(current, base, PAGE_SIZE);
  const log = new WatchedLegacy(base);
  let pfn = 0;
  log.look = (seen) => {
    pfn = seen;
    madvise(current, base, PAGE_SIZE, MADV_DONTNEED)._unsafeUnwrap();
  };
  expect(misuse_of(() => log.set_bit_puts_first(current, 0, base))).toBeNull();
  expect(dirty([pfn])).toEqual([true]);
});
