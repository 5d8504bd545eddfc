/**
 * A reference model of tasks that share pages: which byte each of them must see where, and how many references each frame
 * must have.  From the machine it reads page tables and counts.
 */
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { page_flags, page_tables, PG_anon } from "../../src/machine/arena.js";
import { task_state } from "../../src/machine/context.js";
import { machine_state } from "../../src/machine/machine.js";
import { mm_state, type MmState } from "../../src/mm/mm_types.js";
import { head_of, order_of, pin_count, ref_count } from "../../src/mm/page_ref.js";
import { is_swap_pte } from "../../src/mm/pgtable.js";
import { lookup_pte } from "../../src/mm/uaccess.js";
import { each_entry } from "../../src/mm/vma_range.js";
import { debug_mode, must } from "../fixtures.js";

const SMALL = 6;
/** Six small pages, and six of a huge one. */
export const PAGES: number = SMALL * 2;
export const MAX_TASKS = 4;
const SMALL_AT = 0x40000000;
const HUGE_AT = 0x40200000;
const HUGE = 2 << 20;
const index_in_huge = (page: number): number => (page - SMALL) * 97;
export const address = (page: number): api.UserAddr =>
  api.u64_to_user_ptr(
    page < SMALL ? SMALL_AT + page * PAGE_SIZE : HUGE_AT + index_in_huge(page) * PAGE_SIZE,
  );

export interface Person {
  readonly task: api.Task;
  readonly mm: MmState;
  /** the byte at the beginning of each page */
  readonly sees: number[];
}
export interface Grip {
  readonly pfn: number;
  readonly pins: number;
  readonly gets: number;
  /** may be written by a device */
  readonly write: boolean;
  /** whose page it is, as long as it is: the task must go on seeing it */
  of: { readonly person: Person; readonly page: number } | null;
  store(byte: number): void;
  release(): void;
}

export class Family {
  readonly machine: api.Machine;
  readonly people: Person[] = [];
  readonly grips: Grip[] = [];
  readonly #start: number;

  /** @param thp_anon - sizes of the folios that the pages lie in */
  constructor(thp_anon: string) {
    this.machine = api.boot({
      mem: 16 << 20,
      thp_anon,
      CONFIG_DEBUG_USER_PAGE_REFERENCES: debug_mode,
    });
    this.#start = api.vmstat(this.machine).nr_free_pages;
    const task = api.create_task(this.machine);
    const flags = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
    api.mmap(task, address(0), SMALL * PAGE_SIZE, 3, flags)._unsafeUnwrap();
    api.mmap(task, address(SMALL), HUGE, 3, flags)._unsafeUnwrap();
    api.madvise(task, address(SMALL), HUGE, api.MADV_HUGEPAGE)._unsafeUnwrap();
    this.add(
      task,
      Array.from({ length: PAGES }, () => 0),
    );
  }
  add(task: api.Task, sees: number[]): void {
    const mm = mm_state(task_state(task, "test").mm, "test");
    this.people.push({ task, mm, sees });
  }
  /** The frame that somebody's entry names; 0 if there is none. */
  frame({ mm }: Person, page: number): number {
    return lookup_pte(mm, address(page)) >>> 6;
  }
  /** A device stored into a frame: everybody who maps it sees that. */
  stored(pfn: number, byte: number): void {
    for (const person of this.people) {
      for (let page = 0; page < PAGES; page++) {
        if (this.frame(person, page) === pfn) person.sees[page] = byte;
      }
    }
  }
  /** Somebody lets a page of his go: what was pinned is nobody's. */
  detach(person: Person, page: number): void {
    for (const grip of this.grips) {
      if (grip.of?.person === person && grip.of.page === page) grip.of = null;
    }
  }
  leave(person: Person): void {
    for (let page = 0; page < PAGES; page++) this.detach(person, page);
    this.people.splice(this.people.indexOf(person), 1);
    api.exit_task(person.task);
  }
  look(person: Person, page: number): void {
    const to = new Uint8Array(1);
    api.copy_from_user(person.task, to, address(page))._unsafeUnwrap();
    if (to[0] !== person.sees[page]) {
      throw new Error(
        `task ${person.task.pid} sees ${to[0]} in page ${page}, not ${person.sees[page]}`,
      );
    }
  }
  /** Whether a pin of this frame must keep it where it is: of a page that a program wrote to. */
  owner(person: Person, page: number, pfn: number): Grip["of"] {
    return page_flags[pfn]! & PG_anon ? { person, page } : null;
  }
  /** Every count is the sum of entries, references and pins; a pin is on what its owner sees. */
  check(): void {
    const refs = new Map<number, number>();
    const pins = new Map<number, number>();
    const add = (to: Map<number, number>, pfn: number, n: number): void => {
      to.set(head_of(pfn), (to.get(head_of(pfn)) ?? 0) + n);
    };
    const { zero_pfn, huge_zero_pfn } = machine_state(this.machine);
    for (const { mm } of this.people) {
      for (const { start, end } of mm.vmas) {
        const entry = (at: number): void => {
          const pte = page_tables[at]!;
          if (!is_swap_pte(pte)) add(refs, pte >>> 6, 1);
        };
        each_entry(mm, start, end, entry, entry);
      }
    }
    for (const { pfn, pins: pinned, gets, of } of this.grips) {
      add(refs, pfn, gets + pinned * (order_of(pfn) > 0 ? 1 : 1024));
      add(pins, pfn, order_of(pfn) > 0 ? pinned : 0);
      if (of && this.frame(of.person, of.page) !== pfn) {
        throw new Error(`task ${of.person.task.pid} does not see its pinned page ${of.page}`);
      }
    }
    for (const [pfn, n] of refs) {
      if (pfn === zero_pfn) continue;
      const own = pfn === huge_zero_pfn ? 1 : 0;
      if (ref_count(pfn) !== n + own || pin_count(pfn) !== (pins.get(pfn) ?? 0)) {
        throw new Error(`frame ${pfn}: ${ref_count(pfn)}/${pin_count(pfn)}, not ${n + own}`);
      }
    }
  }
  /** Everything is given back: what is left. */
  end(): { pages: number; pins: number; log: readonly string[]; leaks: number; lost: number } {
    for (const grip of this.grips.splice(0)) grip.release();
    this.check();
    for (const person of [...this.people]) {
      for (let page = 0; page < PAGES; page++) this.look(person, page);
      this.leave(person);
    }
    const { nr_free_pages, nr_foll_pin_acquired, nr_foll_pin_released } = api.vmstat(this.machine);
    const kept = machine_state(this.machine).huge_zero_pfn === 0 ? 0 : 512;
    // A task that exits while its pins are held is no fault here.
    const log = api.dmesg(this.machine).filter((line) => !/^task \d+ exits, /.test(line));
    const { leaks, lost_pages } = api.shutdown(this.machine);
    return {
      pages: this.#start - nr_free_pages - kept,
      pins: nr_foll_pin_acquired - nr_foll_pin_released,
      log,
      leaks: leaks.length,
      lost: lost_pages,
    };
  }
  pinned(person: Person, page: number, dir: api.Dir, whole: boolean): void {
    const at = address(page);
    const of = (pfn: number): Grip["of"] => this.owner(person, page, pfn);
    if (whole) {
      const list = api.get_user_bvec(person.task, at, PAGE_SIZE, dir);
      if (api.IS_ERR(list)) return;
      const bvec = api.pop_user_bvec(list)!;
      const pfn = api.page_to_pfn(bvec.page) as number;
      this.#hold(bvec.page, pfn, dir, of(pfn), () => api.put_user_bvec(bvec));
      return;
    }
    const pin = api.get_user_page(person.task, at, dir);
    if (api.IS_ERR(pin)) return;
    const pfn = api.page_to_pfn(pin) as number;
    this.#hold(pin, pfn, dir, of(pfn), () => api.put_user_page(pin));
  }
  #hold(
    page: api.BorrowedUserPage,
    pfn: number,
    dir: api.Dir,
    of: Grip["of"],
    release: () => void,
  ): void {
    const counted = api.is_zero_page(page) ? 0 : 1;
    const store = (byte: number): void => {
      api.memcpy_to_page(page as api.BorrowedDestPage, 0, new Uint8Array([byte]))._unsafeUnwrap();
    };
    this.grips.push({ pfn, pins: counted, gets: 0, write: dir === "dest", of, store, release });
  }
  referenced(person: Person, page: number, write: boolean): void {
    const pages: api.Page[] = [];
    const flags = write ? api.FOLL_WRITE : 0;
    if (api.get_user_pages_fast(person.task, address(page), 1, flags, pages) !== 1) return;
    const held = pages[0]!;
    const pfn = api.page_to_pfn(held) as number;
    const store = (byte: number): void => {
      api.memcpy_to_page(held, 0, new Uint8Array([byte]))._unsafeUnwrap();
    };
    const gets = api.is_zero_page(held) ? 0 : 1;
    this.grips.push({
      pfn,
      pins: 0,
      gets,
      write,
      of: null,
      store,
      release: () => api.put_page(held),
    });
  }
  split(person: Person, page: number): void {
    const pfn = this.frame(person, page);
    if (pfn === 0) return;
    const found = must(api.pfn_to_page(this.machine, pfn as api.Pfn));
    const folio = api.try_get_folio(found);
    if (!folio) return;
    api.split_folio(folio, person.task);
    api.folio_put(folio);
  }
}
