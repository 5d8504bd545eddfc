/** What the workloads share. */
import {
  alloc_page,
  boot,
  create_task,
  IS_ERR,
  madvise,
  MADV_HUGEPAGE,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  page_ref_count,
  page_to_pfn,
  PROT_READ,
  PROT_WRITE,
  vmstat,
  type BorrowedPage,
  type DebugLevel,
  type Machine,
  type OwnedPage,
  type OwnedUserPage,
  type Pfn,
  type Task,
  type UserAddr,
} from "user-page";

export const WINDOW = 512;
export const GIB = 2 ** 30;
const SECTION_BYTES = 4 << 20;

/** One of the words, or an error. */
export function word<W extends string>(given: string | undefined, ...words: W[]): W {
  const found = words.find((known) => known === given);
  if (found === undefined) throw new Error(`${String(given)}: not one of ${words.join(", ")}`);
  return found;
}
export function debug_level(given: string | undefined): boolean | DebugLevel {
  const level = word(given, "off", "tags", "owners", "true");
  return level === "off" ? false : level === "true" ? true : level;
}

// --- pages by number ------------------------------------------------------------------------------------
/**
 * Handles computed, not kept: an array of 2^24 of them would be read in the loop and measured with it.  On a machine
 * that is not observed a handle is the address of a 64-byte struct page.
 */
export const page_at = (pfn: number): OwnedPage => (pfn << 6) as unknown as OwnedPage;
export const user_page_at = (pfn: number): OwnedUserPage => (pfn << 6) as unknown as OwnedUserPage;

function allocate(current: Task): OwnedPage {
  const page = alloc_page(current);
  if (IS_ERR(page)) throw new Error(page.message);
  return page;
}
/** A machine with `nr` allocated pages that lie one after another; the number of the first. */
export function consecutive_pages(nr: number): { machine: Machine; first: number } {
  const machine = boot({ mem: nr * 4096 + SECTION_BYTES });
  const current = create_task(machine);
  const first: number = page_to_pfn(allocate(current));
  for (let i = 1; i < nr; i++) {
    const pfn: Pfn = page_to_pfn(allocate(current));
    if ((pfn as number) !== first + i) throw new Error("the pages do not lie one after another");
  }
  return { machine, first };
}
/** `nr` pages and their handles, for machines that are observed too. */
export function kept_pages(current: Task, nr: number): OwnedPage[] {
  return Array.from({ length: nr }, () => allocate(current));
}

// --- user memory ----------------------------------------------------------------------------------------
/** One GiB of anonymous memory, present and writable. */
export function populated_gib(current: Task, huge: boolean): UserAddr {
  const prot = PROT_READ | PROT_WRITE;
  const mapped = mmap(current, null, GIB, prot, MAP_PRIVATE | MAP_ANONYMOUS);
  if (mapped.isErr()) throw new Error(mapped.error.message);
  const advice = huge ? [MADV_HUGEPAGE, MADV_POPULATE_WRITE] : [MADV_POPULATE_WRITE];
  for (const advise of advice) {
    const done = madvise(current, mapped.value, GIB, advise);
    if (done.isErr()) throw new Error(done.error.message);
  }
  return mapped.value;
}

// --- what must hold afterwards --------------------------------------------------------------------------
export function check_counts(pages: Iterable<BorrowedPage>): void {
  for (const page of pages) {
    if (page_ref_count(page) !== 1) throw new Error("a count is wrong");
  }
}
export function check_pins(machine: Machine, some: boolean): void {
  const { nr_foll_pin_acquired: acquired, nr_foll_pin_released: released } = vmstat(machine);
  if (acquired !== released || acquired > 0 !== some) {
    throw new Error(`${acquired} pins acquired, ${released} released`);
  }
}
