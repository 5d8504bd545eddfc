/** A machine with an ultravisor, a guest with one page, and what else the tests of secure pages need. */
import {
  bio_add_page,
  bio_alloc,
  bio_put,
  brd_alloc,
  copy_from_user,
  copy_to_user,
  create_task,
  flush_work,
  folio_page,
  get_user_pages,
  get_user_pages_fast,
  make_folio_secure,
  MAP_SHARED,
  memfd_create,
  mmap,
  mmap_read_lock,
  on_preemption,
  page_folio,
  PROT_READ,
  PROT_WRITE,
  put_page,
  schedule_work,
  setup_uv,
  submit_bio_wait,
  gmap_convert_to_secure,
  uv_set_shared,
  type BlockDevice,
  type BorrowedPage,
  type Machine,
  type MachineOptions,
  type Memfd,
  type OwnedPage,
  type Page,
  type PreemptionPoint,
  type Task,
  type UserAddr,
  type UvPlan,
} from "user-page";
import { PAGE_HANDLE_SHIFT } from "../../src/handle/tags.js";
import { page_flags, PG_arch_1 } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import { mms_of } from "../../src/mm/mm_types.js";
import { lookup_pte } from "../../src/mm/uaccess.js";
import { boot_for_test, map_anon, must, pattern_of } from "../fixtures.js";

export const RW = PROT_READ | PROT_WRITE;
export interface World extends Disposable {
  readonly machine: Machine;
  readonly guest: Task;
  readonly buf: UserAddr;
  readonly disk: BlockDevice;
  /** what the page held before it was secure */
  readonly plain: Uint8Array;
}
/** `pages` of anonymous memory, written to. */
export function make_world(plan?: UvPlan, options: MachineOptions = {}, pages = 1): World {
  const machine = boot_for_test({ mem: 16 << 20, ...options });
  setup_uv(machine, plan);
  const guest = create_task(machine);
  const buf = map_anon(guest, pages * 4096);
  const plain = pattern_of(4096);
  for (let i = 0; i < pages; i++) copy_to_user(guest, at(buf, i), plain)._unsafeUnwrap();
  const disk = must(brd_alloc(machine, 1 << 16));
  return { machine, guest, buf, disk, plain, [Symbol.dispose]: () => machine[Symbol.dispose]() };
}
export const at = (buf: UserAddr, page: number): UserAddr => (buf + page * 4096) as UserAddr;

/** One attempt: "ok", or its errno. */
export function secure_once(guest: Task, addr: UserAddr): string {
  using lock = mmap_read_lock(guest, guest.mm);
  return make_folio_secure(lock, addr).match(
    () => "ok",
    ({ errno }) => errno,
  );
}
/** One attempt of another thread, for a kworker: the guest's own holds the mmap_lock otherwise. */
export function secure_by_kworker({ machine, guest }: World, addr: UserAddr): string {
  let found = "not run";
  schedule_work(guest, (kworker) => {
    using lock = mmap_read_lock(kworker, guest.mm);
    found = make_folio_secure(lock, addr).match(
      () => "ok",
      ({ errno }) => errno,
    );
  });
  flush_work(machine);
  return found;
}
/** The whole conversion: "ok", or its errno. */
export function secure(guest: Task, addr: UserAddr): string {
  using lock = mmap_read_lock(guest, guest.mm);
  return gmap_convert_to_secure(lock, addr).match(
    () => "ok",
    ({ errno }) => errno,
  );
}
export function share(guest: Task, addr: UserAddr): string {
  using lock = mmap_read_lock(guest, guest.mm);
  return uv_set_shared(lock, addr).match(
    () => "ok",
    ({ errno }) => errno,
  );
}
/** A plain reference, by FOLL_GET. */
export function lookup(task: Task, addr: UserAddr): OwnedPage {
  const pages: Page[] = [];
  if (get_user_pages_fast(task, addr, 1, 0, pages) !== 1) throw new Error("no page");
  return pages[0] as OwnedPage;
}
/** The same under the lock of the caller. */
export function lookup_slowly(task: Task, addr: UserAddr): OwnedPage {
  using lock = mmap_read_lock(task, task.mm);
  const pages: Page[] = [];
  if (get_user_pages(lock, addr, 1, 0, pages) !== 1) throw new Error("no page");
  return pages[0] as OwnedPage;
}
/** What maps an address, without touching it. */
export function pfn_at(task: Task, addr: UserAddr): number {
  for (const mm of mms_of(machine_state_of(task))) {
    if ((mm as unknown) === task.mm) return lookup_pte(mm, addr) >>> PAGE_HANDLE_SHIFT;
  }
  throw new Error("no address space");
}
const machine_state_of = (task: Task) => (task.mm as unknown as { machine: never }).machine;
export const is_marked = (task: Task, addr: UserAddr): boolean =>
  (page_flags[pfn_at(task, addr)]! & PG_arch_1) !== 0;
/** The bytes in memory, as nobody can see them. */
export function raw_bytes(world: World, addr: UserAddr): Uint8Array {
  const pfn = pfn_at(world.guest, addr);
  const machine = machine_state(world.machine);
  const from = machine.chunk_offset(pfn);
  return machine.chunk(pfn).slice(from, from + 4096);
}
/** One page of a file in memory, mapped by the guest and by another task. */
export function shared_page(world: World): {
  file: Memfd;
  other: Task;
  ours: UserAddr;
  theirs: UserAddr;
} {
  const { machine, guest, plain } = world;
  const file = must(memfd_create(guest, 4096));
  const other = create_task(machine);
  const ours = mmap(guest, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
  const theirs = mmap(other, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
  copy_to_user(guest, ours, plain)._unsafeUnwrap();
  copy_to_user(other, theirs, plain)._unsafeUnwrap();
  return { file, other, ours, theirs };
}
/** What a program reads there. */
export function read(task: Task, addr: UserAddr): Uint8Array {
  const bytes = new Uint8Array(4096);
  copy_from_user(task, bytes, addr)._unsafeUnwrap();
  return bytes;
}
/** The other CPU runs once, at this point; what it found is the result. */
export function at_point<T>(
  w: World,
  where: PreemptionPoint,
  cpu2: () => T,
  cpu1: () => unknown,
): T {
  let found: { result: T } | null = null;
  using _cpu = on_preemption(w.machine, (point) => {
    if (point === where && !found) found = { result: cpu2() };
  });
  cpu1();
  if (!found) throw new Error(`${where} was not reached`);
  return (found as { result: T }).result;
}
/** Gives the page to a device as code does that knows nothing of secure pages. */
export function dma(w: World, page: BorrowedPage): string {
  const bio = bio_alloc(w.disk, 1, "REQ_OP_WRITE");
  bio_add_page(bio, page, 4096, 0);
  const error = submit_bio_wait(bio, w.guest);
  bio_put(bio);
  return error?.errno ?? "ok";
}
/** The page at an address with nobody's reference: the entry's alone, which the freezer expects. */
export function peek(task: Task, addr: UserAddr): BorrowedPage {
  const page = lookup(task, addr);
  const lent = folio_page(page_folio(page), 0);
  put_page(page);
  return lent;
}
