/** Swapping out: MADV_PAGEOUT, what it leaves alone, and the way back. */
import * as api from "user-page";
import { HPAGE_PMD_NR, PAGE_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { nr_swap_slots } from "../../src/mm/swapfile.js";
import { boot_for_test, counts, errno_of, fill_pattern, map_anon, must } from "../fixtures.js";
import {
  byte_at,
  dma,
  free,
  get,
  HUGE,
  huge_buffer,
  is_exclusive,
  MEM,
  pfn_at,
  store,
} from "./fork_world.js";

const read_all = (task: api.Task, from: api.UserAddr, bytes: number): Uint8Array => {
  const to = new Uint8Array(bytes);
  api.copy_from_user(task, to, from)._unsafeUnwrap();
  return to;
};
const page_at = (buf: api.UserAddr, index: number): api.UserAddr =>
  api.user_ptr_add(buf, index * PAGE_SIZE);

describe("MADV_PAGEOUT", () => {
  const pageout = (task: api.Task, buf: api.UserAddr, bytes: number): void => {
    api.madvise(task, buf, bytes, api.MADV_PAGEOUT)._unsafeUnwrap();
  };
  test("swaps pages out; each comes back at its next fault with its bytes", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const start = free(machine);
    const buf = map_anon(current, 4 * PAGE_SIZE);
    const bytes = fill_pattern(current, buf, 4 * PAGE_SIZE);
    const slots = nr_swap_slots();
    pageout(current, buf, 4 * PAGE_SIZE);
    expect([free(machine), nr_swap_slots() - slots]).toEqual([start, 4]);
    // Neither protection nor a second advice touches what is not there.
    api.mprotect(current, buf, 4 * PAGE_SIZE, api.PROT_NONE)._unsafeUnwrap();
    api.mprotect(current, buf, 4 * PAGE_SIZE, 3)._unsafeUnwrap();
    pageout(current, buf, 4 * PAGE_SIZE);
    expect(read_all(current, buf, PAGE_SIZE)).toEqual(bytes.slice(0, PAGE_SIZE));
    const pin = must(api.get_user_page(current, page_at(buf, 1), "dest"));
    dma(pin, 7);
    expect([byte_at(current, page_at(buf, 1)), free(machine)]).toEqual([7, start - 2]);
    api.put_user_page(pin);
    using list = must(api.get_user_bvec(current, page_at(buf, 2), PAGE_SIZE, "source"));
    expect([list.count, nr_swap_slots() - slots]).toEqual([PAGE_SIZE, 1]);
    api.munmap(current, page_at(buf, 3), PAGE_SIZE)._unsafeUnwrap();
    expect(nr_swap_slots()).toBe(slots);
    store(current, buf, 1);
    expect(is_exclusive(pfn_at(current, buf))).toBe(true);
  });
  test("refuses a pinned page, a referenced one, and one that a child shares", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    store(current, buf, 1);
    const pfn = pfn_at(current, buf);
    const pin = must(api.get_user_page(current, buf, "dest"));
    pageout(current, buf, PAGE_SIZE);
    expect([pfn_at(current, buf), counts(pfn), is_exclusive(pfn)]).toEqual([pfn, [1025, 0], true]);
    dma(pin, 5);
    expect(byte_at(current, buf)).toBe(5);
    api.put_user_page(pin);
    const page = get(current, buf);
    pageout(current, buf, PAGE_SIZE);
    expect(pfn_at(current, buf)).toBe(pfn);
    api.put_page(page);
    const child = must(api.fork(current));
    pageout(current, buf, PAGE_SIZE);
    expect(pfn_at(current, buf)).toBe(pfn);
    api.exit_task(child);
    const before = free(machine);
    pageout(current, buf, PAGE_SIZE);
    expect(free(machine)).toBe(before + 1);
  });
  test("what is swapped out is the child's too, and goes with the last of them", () => {
    using machine = boot_for_test(MEM);
    const parent = api.create_task(machine);
    const buf = map_anon(parent, PAGE_SIZE);
    store(parent, buf, 1);
    const slots = nr_swap_slots();
    pageout(parent, buf, PAGE_SIZE);
    const child = must(api.fork(parent));
    store(child, buf, 2);
    expect(nr_swap_slots()).toBe(slots + 1);
    expect([byte_at(parent, buf), byte_at(child, buf), nr_swap_slots()]).toEqual([1, 2, slots]);
    pageout(parent, buf, PAGE_SIZE);
    api.exit_task(parent);
    api.exit_task(child);
    expect(nr_swap_slots()).toBe(slots);
  });
  test("a huge page goes in pieces when nobody holds it, and stays whole otherwise", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = huge_buffer(current);
    const bytes = fill_pattern(current, buf, HUGE);
    const before = free(machine);
    const pin = must(api.get_user_page(current, page_at(buf, 9), "source"));
    pageout(current, buf, HUGE);
    expect([free(machine), counts(pfn_at(current, buf))]).toEqual([before, [2, 1]]);
    api.put_user_page(pin);
    pageout(current, page_at(buf, 1), PAGE_SIZE); // a part of it
    expect(free(machine)).toBe(before);
    pageout(current, buf, HUGE);
    expect(free(machine)).toBe(before + HPAGE_PMD_NR);
    expect(Buffer.compare(read_all(current, buf, HUGE), bytes)).toBe(0);
  });
  test("zero pages and pages of files stay", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    using memfd = must(api.memfd_create(current, PAGE_SIZE));
    const shared = api.mmap(current, null, PAGE_SIZE, 3, api.MAP_SHARED, memfd)._unsafeUnwrap();
    const anon = map_anon(current, PAGE_SIZE);
    store(current, shared, 1);
    expect(byte_at(current, anon)).toBe(0);
    const before = [pfn_at(current, shared), pfn_at(current, anon), free(machine)];
    for (const at of [shared, anon]) pageout(current, at, PAGE_SIZE);
    expect([pfn_at(current, shared), pfn_at(current, anon), free(machine)]).toEqual(before);
  });
  test("ENOMEM when there is no page to come back to; the bytes are not lost", () => {
    using machine = boot_for_test(MEM);
    const current = api.create_task(machine);
    const buf = map_anon(current, PAGE_SIZE);
    store(current, buf, 6);
    pageout(current, buf, PAGE_SIZE);
    {
      using all = api.fragment_memory(machine, () => true);
      expect(all.nr_pages).toBeGreaterThan(0);
      expect(errno_of(api.get_user_page(current, buf, "dest"))).toBe("ENOMEM");
    }
    expect(byte_at(current, buf)).toBe(6);
  });
});
