/** What tests of fork() ask of tasks and pages. */
import * as api from "user-page";
import { page_flags, PG_anon_exclusive } from "../../src/machine/arena.js";
import { task_state } from "../../src/machine/context.js";
import { mm_state, type MmState } from "../../src/mm/mm_types.js";
import { map_anon } from "../fixtures.js";

export const MEM = { mem: 16 << 20 };
export const HUGE: number = 2 << 20;
export const free = (machine: api.Machine): number => api.vmstat(machine).nr_free_pages;
/** Pins taken and given back since the machine booted. */
export function pins(machine: api.Machine): [acquired: number, released: number] {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(machine);
  return [nr_foll_pin_acquired, nr_foll_pin_released];
}
/** One plain reference on the page at an address. */
export function get(task: api.Task, addr: api.UserAddr, flags: api.FastGetFlags | 0 = 0): api.Page {
  const pages: api.Page[] = [];
  const got = api.get_user_pages_fast(task, addr, 1, flags, pages);
  if (got !== 1) throw new Error(`get_user_pages_fast(): ${String(got)}`);
  return pages[0]!;
}
/** The byte at the beginning of a page. */
export function byte_at(task: api.Task, addr: api.UserAddr): number {
  const to = new Uint8Array(1);
  api.copy_from_user(task, to, addr)._unsafeUnwrap();
  return to[0]!;
}
export function store(task: api.Task, addr: api.UserAddr, byte: number): void {
  api.copy_to_user(task, addr, new Uint8Array([byte]))._unsafeUnwrap();
}
/** A store of a device that has the page by its physical address. */
export function dma(page: api.BorrowedPage | api.BorrowedDestPage, byte: number): void {
  api.memcpy_to_page(page, 0, new Uint8Array([byte]))._unsafeUnwrap();
}
/** The frame that a task sees at an address, found by reading: nothing is copied for it. */
export function pfn_at(task: api.Task, addr: api.UserAddr): number {
  const page = get(task, addr);
  const pfn = api.page_to_pfn(page) as number;
  api.put_page(page);
  return pfn;
}
export const is_exclusive = (pfn: number): boolean => (page_flags[pfn]! & PG_anon_exclusive) !== 0;
export const mm_of = (task: api.Task): MmState => mm_state(task_state(task, "test").mm, "test");
export function huge_buffer(current: api.Task, nr = 1): api.UserAddr {
  const buf = map_anon(current, nr * HUGE);
  api.madvise(current, buf, nr * HUGE, api.MADV_HUGEPAGE)._unsafeUnwrap();
  return buf;
}
