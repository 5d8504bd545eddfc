/**
 * Iterators of every type over random memory, and beside each a list of what it goes over, page piece by page piece, made
 * from the same description by other code.
 */
import fc from "fast-check";
import * as api from "user-page";
import type { BorrowedFolio, BorrowedPage, Dir, IovIter, IterType } from "user-page";
import { boot_for_test, fill_pattern, map_anon, must, pattern_of } from "../fixtures.js";

export const PAGES = 12;
const SIZE = PAGES * 4096;

/** At most one page: where it is, in bytes of user or of physical memory, and whether it can be accessed. */
export interface Range {
  readonly addr: number;
  readonly len: number;
  readonly segment: number;
  readonly ok: boolean;
}
/** Random numbers below 2^16, from which each type takes what it needs. */
export interface Plan {
  readonly type: Exclude<IterType, "ITER_PIPE">;
  readonly dir: Dir;
  readonly segments: ReadonlyArray<readonly [number, number]>;
  /** pages that are not mapped, or not in the page cache */
  readonly missing: readonly number[];
  /** pages that may only be read */
  readonly read_only: readonly number[];
}
const small = fc.nat(0xffff);
export const plan: fc.Arbitrary<Plan> = fc.record({
  type: fc.constantFrom(
    "ITER_UBUF",
    "ITER_IOVEC",
    "ITER_IOVEC",
    "ITER_BVEC",
    "ITER_KVEC",
    "ITER_XARRAY",
    "ITER_FOLIOQ",
    "ITER_DISCARD",
  ),
  dir: fc.constantFrom("dest", "source"),
  // Empty ones, short ones, unaligned ones of several pages, whole pages.
  segments: fc.array(
    fc.oneof(
      fc.tuple(small, fc.constant(0)),
      fc.tuple(small, fc.integer({ min: 1, max: 700 })),
      fc.tuple(small, fc.integer({ min: 1, max: 4 * 4096 })),
      fc.tuple(
        small.map((at) => at & ~4095),
        fc.integer({ min: 1, max: 3 }).map((n) => n * 4096),
      ),
    ),
    { minLength: 1, maxLength: 6 },
  ),
  missing: fc.array(fc.nat(PAGES - 1), { maxLength: 2 }),
  read_only: fc.array(fc.nat(PAGES - 1), { maxLength: 2 }),
});

export interface World extends Disposable {
  readonly machine: api.Machine;
  readonly current: api.Task;
  readonly iter: IovIter;
  readonly ranges: readonly Range[];
  /** what a test reads and writes behind the iterator's back */
  load(range: Range): Uint8Array;
  /** the page frame of a range, found without the iterator */
  pfn(range: Range): number;
}

/** Cuts a stretch of memory at page boundaries. */
export function by_pages(
  addr: number,
  len: number,
  segment: number,
  ok: (addr: number) => boolean,
): Range[] {
  const found: Range[] = [];
  for (const end = addr + len; addr < end;) {
    const next = Math.min(end, (Math.floor(addr / 4096) + 1) * 4096);
    found.push({ addr, len: next - addr, segment, ok: ok(addr) });
    addr = next;
  }
  return found;
}
/** A segment inside `size` bytes. */
const fit = ([at, len]: readonly [number, number], size: number): readonly [number, number] => {
  const start = at % size;
  return [start, Math.min(len, size - start)];
};

export function make_world(p: Plan): World {
  const machine = boot_for_test({ mem: 4 << 20 });
  const current = api.create_task(machine);
  const made = p.type === "ITER_UBUF" || p.type === "ITER_IOVEC" ? user : kernel;
  const { iter, ranges, pfn, load, keep } = made(p, machine, current);
  return {
    machine,
    current,
    iter,
    ranges,
    pfn,
    load,
    [Symbol.dispose]() {
      for (const kept of keep) kept[Symbol.dispose]();
      machine[Symbol.dispose]();
    },
  };
}
interface Made extends Omit<World, "machine" | "current" | keyof Disposable> {
  readonly keep: readonly Disposable[];
}

function user(p: Plan, _machine: api.Machine, current: api.Task): Made {
  const buf = map_anon(current, SIZE);
  fill_pattern(current, buf, SIZE);
  for (const page of p.read_only) {
    api.mprotect(current, api.user_ptr_add(buf, page * 4096), 4096, 1)._unsafeUnwrap();
  }
  for (const page of p.missing) {
    api.munmap(current, api.user_ptr_add(buf, page * 4096), 4096)._unsafeUnwrap();
  }
  const ok = (addr: number): boolean => {
    const page = Math.floor((addr - buf) / 4096);
    if (p.missing.includes(page)) return false;
    return p.dir === "source" || !p.read_only.includes(page);
  };
  const iov = p.segments
    .slice(0, p.type === "ITER_UBUF" ? 1 : undefined)
    .map((s) => fit(s, SIZE))
    .map(([at, len]) => ({ iov_base: api.user_ptr_add(buf, at), iov_len: len }));
  const { iov_base, iov_len } = iov[0]!;
  return {
    iter:
      p.type === "ITER_UBUF"
        ? api.iov_iter_ubuf(p.dir, iov_base, iov_len)
        : api.iov_iter_init(p.dir, iov),
    ranges: iov.flatMap(({ iov_base: at, iov_len: len }, i) => by_pages(at, len, i, ok)),
    load({ addr, len }) {
      const bytes = new Uint8Array(len);
      api.copy_from_user(current, bytes, api.u64_to_user_ptr(addr))._unsafeUnwrap();
      return bytes;
    },
    pfn({ addr }) {
      const page = must(api.get_user_page(current, api.u64_to_user_ptr(addr), "source"));
      const pfn = api.page_to_pfn(page);
      api.put_user_page(page);
      return pfn;
    },
    keep: [],
  };
}

function kernel(p: Plan, machine: api.Machine, current: api.Task): Made {
  const keep: Disposable[] = [];
  // Eight pages in a row, two in a row, two single ones.
  const folios = [3, 1, 0, 0].map((order) => {
    const scope = must(api.__free(api.folio_put, api.folio_alloc(current, order)));
    keep.push(scope);
    return scope.page;
  });
  const pages = folios.flatMap((folio) =>
    Array.from({ length: 2 ** api.folio_order(folio) }, (_, n) => api.folio_page(folio, n)),
  );
  pages.forEach((page, i) => api.memcpy_to_page(page, 0, pattern_of(4096, i + 1)));
  const phys = (page: BorrowedPage): number => api.page_to_pfn(page) * 4096;
  const yes = (): boolean => true;
  const make = (): Pick<Made, "iter" | "ranges"> => {
    switch (p.type) {
      case "ITER_BVEC": {
        const bvecs = p.segments.map(([at, len], i) => {
          const first = at % PAGES;
          // Only the first eight are sure to be contiguous.
          const room = (first < 8 ? 8 - first : 1) * 4096;
          const offset = Math.floor(at / 13) % (i % 2 ? 4096 : room);
          return { page: pages[first]!, offset, len: Math.min(len, room - offset) };
        });
        const ranges = bvecs.flatMap(({ page, offset, len }, i) =>
          by_pages(phys(page) + offset, len, i, yes),
        );
        return { iter: api.iov_iter_bvec(p.dir, bvecs), ranges };
      }
      case "ITER_KVEC": {
        const area = must(api.vmalloc(current, SIZE));
        keep.push(area);
        const kvecs = p.segments
          .map((s) => fit(s, SIZE))
          .map(([iov_offset, iov_len]) => ({ iov_base: area, iov_offset, iov_len }));
        const ranges = kvecs.flatMap(({ iov_offset, iov_len }, i) =>
          by_pages(iov_offset, iov_len, i, yes).map((range) => {
            const page = api.vmalloc_to_page(area, range.addr);
            return { ...range, addr: phys(page) + (range.addr % 4096) };
          }),
        );
        return { iter: api.iov_iter_kvec(p.dir, kvecs), ranges };
      }
      case "ITER_XARRAY": {
        const map = new Map<number, BorrowedFolio>();
        const at = [16, 8, 11, 12]; // 10 is a hole, whatever is missing
        folios.forEach((folio, i) => {
          if (!p.missing.includes(i)) map.set(at[i]!, folio);
        });
        const [from, len] = fit(p.segments[0]!, 18 * 4096);
        const place = (addr: number): BorrowedPage | undefined => {
          const index = Math.floor(addr / 4096);
          const i = [3, 2, 1, 0].sort((a, b) => at[b]! - at[a]!).find((n) => at[n]! <= index);
          if (i === undefined || !map.has(at[i]!)) return undefined;
          const n = index - at[i]!;
          return n < 2 ** api.folio_order(folios[i]!) ? api.folio_page(folios[i]!, n) : undefined;
        };
        const start = 6 * 4096 + from;
        const ranges = by_pages(start, len, 0, (addr) => place(addr) !== undefined).map((range) => {
          const page = place(range.addr);
          return page ? { ...range, addr: phys(page) + (range.addr % 4096) } : range;
        });
        return { iter: api.iov_iter_xarray(p.dir, map, start, len), ranges };
      }
      case "ITER_FOLIOQ": {
        const queue = p.segments.map(([n]) => folios[n % 4]!);
        const slot = Math.min(1, queue.length - 1);
        const all = queue
          .slice(slot)
          .flatMap((folio, i) =>
            by_pages(phys(api.folio_page(folio, 0)), 4096 * 2 ** api.folio_order(folio), i, yes),
          );
        const total = all.reduce((sum, { len }) => sum + len, 0);
        const offset = p.segments[0]![0] % 4096;
        return {
          iter: api.iov_iter_folio_queue(p.dir, queue, slot, offset, total - offset),
          ranges: cut(all, offset, total - offset),
        };
      }
      default: {
        const [at, len] = p.segments[0]!;
        return {
          iter: api.iov_iter_discard("dest", at + len),
          ranges: [{ addr: 0, len: at + len, segment: 0, ok: true }],
        };
      }
    }
  };
  const found = (addr: number): BorrowedPage & api.Page => {
    const page = must(api.pfn_to_page(machine, Math.floor(addr / 4096) as api.Pfn));
    return api.get_page_unless_zero(page)!;
  };
  return {
    ...make(),
    load({ addr, len }) {
      const bytes = new Uint8Array(len);
      const page = found(addr);
      api.memcpy_from_page(bytes, page, addr % 4096)._unsafeUnwrap();
      api.put_page(page);
      return bytes;
    },
    pfn: ({ addr }) => Math.floor(addr / 4096),
    keep,
  };
}

/** The ranges of `len` bytes from `from` on. */
export function cut(ranges: readonly Range[], from: number, len: number): Range[] {
  const found: Range[] = [];
  let at = 0;
  for (const range of ranges) {
    const begin = Math.max(at, from);
    const end = Math.min(at + range.len, from + len);
    if (begin < end) {
      found.push({ ...range, addr: range.addr + begin - at, len: end - begin });
    }
    at += range.len;
  }
  return found;
}
export const total = (ranges: readonly Range[]): number =>
  ranges.reduce((sum, { len }) => sum + len, 0);
/** What one call gives: pages of the first segment, of folios several; up to what cannot be accessed. */
export function next_pages(
  ranges: readonly Range[],
  type: IterType,
  maxpages: number,
): readonly Range[] {
  const found: Range[] = [];
  for (const range of ranges) {
    if (type !== "ITER_FOLIOQ" && range.segment !== ranges[0]!.segment) break;
    if (!range.ok || found.length === maxpages) break;
    found.push(range);
  }
  return found;
}
