/** NFS over a block layout: bytes over two disks, who holds a page while a bio uses it, and the three miscounts. */
import {
  alloc_page,
  copy_from_user,
  create_task,
  dm_flakey,
  exit_task,
  flush_work,
  get_user_page,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  madvise,
  MADV_DONTNEED,
  munmap,
  page_to_pfn,
  PAGE_SIZE,
  put_user_page,
  run_softirqs,
  user_ptr_add,
  type FlakeyPlan,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/nfs_blocklayout/converted.js";
import * as legacy from "../../call-sites/nfs_blocklayout/legacy.js";
import {
  boot_for_test,
  counts,
  debug_mode,
  fill_pattern,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import { dirty, dma_read, errno_name, left_over, misuse_of, NOTHING, pins } from "./device.js";
import { disk_of, read_disk } from "./disk.js";

const told = (result: unknown): unknown => errno_name(result) ?? result;
/** 64 KiB stripes on two disks; every second stripe lies in another place than the one before would say. */
const STRIPE = 65536;
function bench(plan: FlakeyPlan | null = null) {
  const machine = boot_for_test();
  const current = create_task(machine);
  const disks = [
    disk_of(machine, pattern_of(1 << 20, 8)),
    disk_of(machine, pattern_of(1 << 20, 9)),
  ];
  const layout = Array.from({ length: 8 }, (_, i): legacy.Extent => {
    const disk = disks[i % 2]!;
    const bdev = plan && i === 1 ? dm_flakey(disk, plan) : disk;
    return { bdev, offset: i * STRIPE, length: STRIPE, addr: (7 - i) * STRIPE };
  });
  const base = map_anon(current, 128 * PAGE_SIZE);
  fill_pattern(current, base, 128 * PAGE_SIZE);
  function read_file(pos: number, len: number): Uint8Array {
    const all = disks.map((disk) => read_disk(disk, 0, 8 * STRIPE));
    const file = Buffer.concat(
      layout.map(({ addr }, i) => all[i % 2]!.subarray(addr, addr + STRIPE)),
    );
    return new Uint8Array(file.subarray(pos, pos + len));
  }
  const memory = (at: number, len: number): Uint8Array => {
    const bytes = new Uint8Array(len);
    copy_from_user(current, bytes, user_ptr_add(base, at))._unsafeUnwrap();
    return bytes;
  };
  const pfn_at = (at: number): number => {
    const page = must(get_user_page(current, user_ptr_add(base, at), ITER_SOURCE));
    const pfn = page_to_pfn(page);
    put_user_page(page);
    return pfn;
  };
  return { machine, current, base, layout, read_file, memory, pfn_at };
}
type Bench = ReturnType<typeof bench>;
const iter_of = ({ base }: Bench, read: boolean, at: number, len: number) =>
  read
    ? iov_iter_ubuf(ITER_DEST, user_ptr_add(base, at), len)
    : iov_iter_ubuf(ITER_SOURCE, user_ptr_add(base, at), len);

describe.each([
  ["legacy", legacy],
  ["converted", converted],
] as const)("%s", (name, nfs) => {
  const form = nfs as typeof converted;
  /** What is told, once; in `meanwhile` the disks have the bios. */
  function direct(
    b: Bench,
    read: boolean,
    at: number,
    len: number,
    pos: number,
    meanwhile: () => void = () => undefined,
  ): unknown {
    const results: unknown[] = [];
    const iter = iter_of(b, read, at, len);
    const now = form.nfs_file_direct(b.current, b.layout, iter, pos, (r) => results.push(told(r)));
    if (errno_name(now)) return told(now);
    meanwhile();
    run_softirqs(b.machine);
    flush_work(b.machine);
    expect(results.length).toBe(1);
    return results[0];
  }
  function balanced({ machine }: Bench) {
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  }
  const LEN = 100 * PAGE_SIZE;

  test("a write and a read over stripes on two disks, from the middle of a page", () => {
    const b = bench();
    const wrote = b.memory(512, LEN);
    expect(direct(b, false, 512, LEN, 1024)).toBe(LEN);
    expect(Buffer.compare(b.read_file(1024, LEN), wrote)).toBe(0);
    const read = b.memory(0, 128 * PAGE_SIZE);
    read.set(wrote.subarray(0, 20 * PAGE_SIZE), 105 * PAGE_SIZE + 1024);
    expect(direct(b, true, 105 * PAGE_SIZE + 1024, 20 * PAGE_SIZE, 1024)).toBe(20 * PAGE_SIZE);
    expect(Buffer.compare(b.memory(0, 128 * PAGE_SIZE), read)).toBe(0);
    expect(dirty([b.pfn_at(110 * PAGE_SIZE)])).toEqual([true]);
    balanced(b);
  });
  test("while the bios are out, one reference for each page: the request's", () => {
    const b = bench();
    const pfn = b.pfn_at(PAGE_SIZE);
    const seen: unknown[] = [];
    direct(b, false, 0, 8 * PAGE_SIZE, 0, () => seen.push(counts(pfn)));
    expect(seen).toEqual([[name === "legacy" ? 2 : 1 + 1024, 0]]);
    expect(counts(pfn)).toEqual([1, 0]);
    balanced(b);
  });
  test("the program exits while the bios are out", () => {
    const b = bench();
    const wrote = b.memory(0, LEN);
    expect(direct(b, false, 0, LEN, 0, () => exit_task(b.current))).toBe(LEN);
    expect(Buffer.compare(b.read_file(0, LEN), wrote)).toBe(0);
    balanced(b);
  });
  test.each([true, false])("one disk fails in the middle (read: %s): EIO", (read) => {
    const b = bench(() => ({ error: "EIO", bytes: 4096 }));
    expect(direct(b, read, 512, LEN, 512)).toBe("EIO");
    balanced(b);
  });
  test("in parts, and the layout ends before the range does: EIO", () => {
    const b = bench(({ nr }) => ({ bytes: 512, delay: nr % 2 }));
    expect(direct(b, false, 0, 128 * PAGE_SIZE, PAGE_SIZE)).toBe("EIO");
    const wrote = b.memory(0, 127 * PAGE_SIZE);
    expect(Buffer.compare(b.read_file(PAGE_SIZE, 127 * PAGE_SIZE), wrote)).toBe(0);
    balanced(b);
  });
  test.each([0, 30])("a hole after %d pages: EFAULT, nothing is submitted or held", (good) => {
    const b = bench();
    const before = b.read_file(0, LEN);
    munmap(b.current, user_ptr_add(b.base, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    expect(direct(b, false, 0, LEN, 0)).toBe("EFAULT");
    expect(Buffer.compare(b.read_file(0, LEN), before)).toBe(0);
    balanced(b);
  });
});

describe("the hazards", () => {
  const start = (b: Bench, hazard: legacy.Hazard) =>
    legacy.nfs_file_direct(
      b.current,
      b.layout,
      iter_of(b, true, 0, 4 * PAGE_SIZE),
      0,
      () => undefined,
      hazard,
    );
  const finish = ({ machine }: Bench) =>
    misuse_of(() => {
      run_softirqs(machine);
      flush_work(machine);
    });
  test("the array keeps its references", () => {
    const b = bench();
    start(b, "array kept");
    expect(finish(b)).toBeNull();
    expect(left_over(b.machine)).toEqual({ leaks: debug_mode ? 4 : 0, lost_pages: 4 });
  });
  test("end_io puts pages that are the request's", () => {
    const b = bench();
    const pfn = b.pfn_at(0);
    start(b, "end_io puts pages");
    expect(finish(b)).toBe(debug_mode ? "use-after-release" : null);
    if (!debug_mode) expect(counts(pfn)).toEqual([0, 0]);
  });
  test("the request takes none of its own: the program unmaps, and the disk writes into memory of somebody else", () => {
    const b = bench();
    // The handles were lent, and the program's own reference keeps the pages: debug mode sees nothing wrong either.
    expect(misuse_of(() => start(b, "no reference of its own"))).toBeNull();
    madvise(b.current, b.base, 4 * PAGE_SIZE, MADV_DONTNEED)._unsafeUnwrap();
    const others = Array.from({ length: 8 }, () => page_to_pfn(must(alloc_page(b.current))));
    run_softirqs(b.machine);
    const bytes = others.map((pfn) =>
      Buffer.from(dma_read(b.machine, [{ pfn, offset: 0, len: PAGE_SIZE }])),
    );
    const read = Buffer.from(b.read_file(0, PAGE_SIZE));
    expect(bytes.some((page) => page.equals(read))).toBe(true);
  });
});
