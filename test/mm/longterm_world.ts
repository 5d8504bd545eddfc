/** Machines with memory where nothing may stay pinned, and pages put there on purpose. */
import * as api from "user-page";
import { machine_state, type MachineState } from "../../src/machine/machine.js";
import { mm_state } from "../../src/mm/mm_types.js";
import { lookup_pte } from "../../src/mm/uaccess.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";

export const PAGE = 4096;
export interface World extends Disposable {
  readonly machine: api.Machine;
  readonly state: MachineState;
  readonly current: api.Task;
}
export function world(options: api.MachineOptions = {}): World {
  const machine = boot_for_test({ mem: 16 << 20, ...options });
  const current = api.create_task(machine);
  const state = machine_state(machine);
  return { machine, state, current, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}
/** The page frame at an address, 0 if none. */
export function pfn_at(task: api.Task, addr: number): number {
  const pte = lookup_pte(mm_state(task.mm, "pfn_at()"), addr);
  return pte === 0 ? 0 : pte >>> 6;
}
export const is_pinnable = (w: World, addr: number): boolean =>
  pfn_at(w.current, addr) < w.state.unpinnable_from;
/** Writes a byte into a page: it is allocated where users' pages go first. */
export function touch(task: api.Task, addr: api.UserAddr, byte = 1): void {
  api.copy_to_user(task, addr, new Uint8Array([byte]))._unsafeUnwrap();
}
/** `nr` pages: those of `bad` in the CMA area or ZONE_MOVABLE, the others where they may stay. */
export function mixed(w: World, nr: number, bad: readonly number[]): api.UserAddr {
  const buf = map_anon(w.current, nr * PAGE);
  for (let i = 0; i < nr; i++) {
    const at = api.user_ptr_add(buf, i * PAGE);
    if (bad.includes(i)) touch(w.current, at);
    // A long-term pin is what brings a page to where it may stay.
    else api.put_user_page(must(api.get_user_page(w.current, at, "dest", api.FOLL_LONGTERM)));
  }
  for (let i = 0; i < nr; i++) {
    if (is_pinnable(w, buf + i * PAGE) === bad.includes(i)) throw new Error(`page ${i} is wrong`);
  }
  return buf;
}
/** Runs, and says by how much the two counters of pins went up. */
export function counted(w: World, run: () => void): [acquired: number, released: number] {
  const before = api.vmstat(w.machine);
  run();
  const after = api.vmstat(w.machine);
  return [
    after.nr_foll_pin_acquired - before.nr_foll_pin_acquired,
    after.nr_foll_pin_released - before.nr_foll_pin_released,
  ];
}
/** pin_user_pages() with the lock held for the call. */
export function pin_slow(w: World, buf: api.UserAddr, nr: number) {
  using lock = api.mmap_read_lock(w.current, w.current.mm);
  return api.pin_user_pages(lock, buf, nr, "dest", api.FOLL_LONGTERM);
}
/** Another reference on the page at an address, which keeps it where it is. */
export function hold(w: World, addr: api.UserAddr): Disposable {
  const pages: api.Page[] = [];
  if (api.get_user_pages_fast(w.current, addr, 1, 0, pages) !== 1) throw new Error("no page");
  return {
    [Symbol.dispose]() {
      for (let page = pages.pop(); page; page = pages.pop()) api.put_page(page);
    },
  };
}
/** A pin that ends with the block. */
export function scoped<P extends api.OwnedUserPage>(page: P | api.GupError) {
  const pin = must(page) as api.OwnedUserPage;
  return {
    page: page as Exclude<P, api.GupError>,
    [Symbol.dispose]() {
      api.put_user_page(pin);
    },
  };
}
/** toEqual() looks at each byte: too slow for millions. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
