/** A machine with user memory in huge and in single pages, a disk over known bytes, and what the tests ask of both. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { machine_state } from "../../src/machine/machine.js";
import { head_of, order_of, pin_count, ref_count } from "../../src/mm/page_ref.js";
import { boot_for_test, map_anon, must, pattern_of } from "../fixtures.js";

export const HUGE_PAGES = 512;
/** single pages, behind the huge ones */
export const SMALL_PAGES = 64;
export const ALL_PAGES: number = HUGE_PAGES + SMALL_PAGES;
export const DISK_BYTES: number = 1 << 20;

export class BioWorld {
  readonly machine: api.Machine;
  readonly current: api.Task;
  readonly buf: api.UserAddr;
  readonly disk: api.BlockDevice;
  /** what is on the disk, as far as the test knows */
  readonly on_disk: Uint8Array = pattern_of(DISK_BYTES, 99);
  constructor(shuffle?: number) {
    this.machine = boot_for_test({ mem: 16 << 20, ...(shuffle !== undefined && { shuffle }) });
    this.current = api.create_task(this.machine);
    this.buf = map_anon(this.current, ALL_PAGES * PAGE_SIZE);
    api.madvise(this.current, this.buf, 2 << 20, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const small = this.addr(HUGE_PAGES);
    api.madvise(this.current, small, 1 << 18, api.MADV_NOHUGEPAGE)._unsafeUnwrap();
    api.copy_to_user(this.current, this.buf, pattern_of(ALL_PAGES * PAGE_SIZE))._unsafeUnwrap();
    this.disk = must(api.brd_alloc(this.machine, DISK_BYTES));
    this.fill_disk(this.disk);
  }
  addr(page: number, offset = 0): api.UserAddr {
    return api.user_ptr_add(this.buf, page * PAGE_SIZE + offset);
  }
  /** Writes the known bytes through a plain bio for each MiB. */
  fill_disk(disk: api.BlockDevice): void {
    const page = must(api.alloc_page(this.current));
    for (let at = 0; at < DISK_BYTES; at += PAGE_SIZE) {
      api.memcpy_to_page(page, 0, this.on_disk.subarray(at, at + PAGE_SIZE));
      const bio = api.bio_alloc(disk, 1, "REQ_OP_WRITE", at / 512);
      api.bio_add_page(bio, page, PAGE_SIZE, 0);
      if (api.submit_bio_wait(bio, this.current)) throw new Error("the disk is not filled");
      api.bio_put(bio);
    }
    api.put_page(page);
  }
  /** What is on a disk. */
  read_disk(disk: api.BlockDevice = this.disk): Uint8Array {
    const page = must(api.alloc_page(this.current));
    const bytes = new Uint8Array(DISK_BYTES);
    for (let at = 0; at < DISK_BYTES; at += PAGE_SIZE) {
      const bio = api.bio_alloc(disk, 1, "REQ_OP_READ", at / 512);
      api.bio_add_page(bio, page, PAGE_SIZE, 0);
      if (api.submit_bio_wait(bio, this.current)) throw new Error("the disk is not read");
      api.bio_put(bio);
      api.memcpy_from_page(bytes.subarray(at, at + PAGE_SIZE), page, 0);
    }
    api.put_page(page);
    return bytes;
  }
  /** User memory. */
  memory(): Uint8Array {
    const bytes = new Uint8Array(ALL_PAGES * PAGE_SIZE);
    api.copy_from_user(this.current, bytes, this.buf)._unsafeUnwrap();
    return bytes;
  }
  pin(page: number): api.OwnedUserPage<"dest"> {
    return must(api.get_user_page(this.current, this.addr(page), "dest"));
  }
  extent(page: number, offset: number, len: number): api.OwnedBvec<"dest"> {
    using list = must(api.get_user_bvec(this.current, this.addr(page, offset), len, "dest"));
    return api.pop_user_bvec(list)!;
  }
  /** Pins that are held. */
  get live(): number {
    const stat = api.vmstat(this.machine);
    return stat.nr_foll_pin_acquired - stat.nr_foll_pin_released;
  }
  /** Pins on each folio that has some, found by its counts alone. */
  pins(): Map<number, number> {
    const { base, nr_pages } = machine_state(this.machine);
    const found = new Map<number, number>();
    for (let pfn = base; pfn < base + nr_pages; pfn++) {
      if (head_of(pfn) !== pfn) continue;
      const pins = order_of(pfn) > 0 ? pin_count(pfn) : Math.floor(ref_count(pfn) / 1024);
      if (pins !== 0) found.set(pfn, pins);
    }
    return found;
  }
  /** Nothing is held and nothing was lost. */
  end(): void {
    const report = api.shutdown(this.machine);
    if (report.leaks.length + report.lost_pages === 0) return;
    throw new Error(`${report.leaks.length} leaks, ${report.lost_pages} lost pages`);
  }
  [Symbol.dispose](): void {
    this.machine[Symbol.dispose]();
  }
}
/** A bio of pinned pages, halves and wholes with gaps between them, and how many bytes that is. */
export function filled<O extends api.Op>(
  world: BioWorld,
  disk: api.BlockDevice,
  op: O,
  pages: number,
  sector: number,
  first = 0,
): api.OwnedPinnedBio<api.DirOf[O]> {
  const bio = api.bio_alloc_pinned(disk, 256, op, sector);
  for (let i = 0; i < pages; i++) {
    const pin = world.pin(first + i);
    const [len, offset] = i % 3 === 2 ? [PAGE_SIZE, 0] : [PAGE_SIZE / 2, (i % 2) * 1024];
    if (!api.bio_add_user_page(bio as api.PinnedBio<"dest">, pin, len, offset))
      throw new Error("full");
  }
  return bio;
}
export const bytes_of = (pages: number): number =>
  Array.from({ length: pages }, (_, i) => (i % 3 === 2 ? 4096 : 2048)).reduce((a, b) => a + b, 0);
/** What a disk may take at once. */
export const LIMITS: fc.Arbitrary<Partial<api.QueueLimits>> = fc.record({
  max_sectors: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(Infinity)),
  max_segments: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constant(Infinity)),
});

export const head = (pfn: number): number => head_of(pfn);
/** Whether bytes are equal; the matchers look at each byte by itself. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
