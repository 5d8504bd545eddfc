/** Direct I/O of iomap: bytes, padding, faults and errors, what the program sees when it is told, and the two forgotten flags. */
import {
  copy_from_user,
  create_task,
  dm_flakey,
  flush_work,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  get_user_page,
  munmap,
  page_to_pfn,
  PAGE_SIZE,
  put_user_page,
  run_softirqs,
  user_ptr_add,
  type FlakeyPlan,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/iomap_dio/converted.js";
import * as legacy from "../../call-sites/iomap_dio/legacy.js";
import {
  boot_for_test,
  boot_plain,
  counts,
  debug_mode,
  fill_pattern,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import { dirty, errno_name, left_over, misuse_of, NOTHING, pins } from "./device.js";
import { clean, disk_of, read_disk, zero_page_counts } from "./disk.js";

const BACKGROUND = pattern_of(1 << 20, 9);
const ADDR = 65536;
const ZERO_PAGE_REFS = zero_page_counts(boot_plain());
const told = (result: unknown): unknown => errno_name(result) ?? result;

function bench(plan: FlakeyPlan | null = null, is_new = false) {
  const machine = boot_for_test();
  const current = create_task(machine);
  const disk = disk_of(machine, BACKGROUND);
  const bdev = plan ? dm_flakey(disk, plan) : disk;
  const base = map_anon(current, 64 * PAGE_SIZE);
  fill_pattern(current, base, 64 * PAGE_SIZE);
  return { machine, current, disk, base, file: { bdev, addr: ADDR, i_blocksize: 4096, is_new } };
}
type Bench = ReturnType<typeof bench>;
function memory({ current, base }: Bench, at: number, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  copy_from_user(current, bytes, user_ptr_add(base, at))._unsafeUnwrap();
  return bytes;
}
function pfn_at(current: Task, addr: UserAddr): number {
  const page = must(get_user_page(current, addr, ITER_SOURCE));
  const pfn = page_to_pfn(page);
  put_user_page(page);
  return pfn;
}
interface Request {
  readonly read?: boolean;
  readonly at: number;
  readonly len: number;
  readonly pos: number;
}
const iter_of = ({ base }: Bench, { read, at, len }: Request) =>
  read === true
    ? iov_iter_ubuf(ITER_DEST, user_ptr_add(base, at), len)
    : iov_iter_ubuf(ITER_SOURCE, user_ptr_add(base, at), len);
type Run = (
  b: Bench,
  request: Request,
  ki_complete: (result: unknown) => void,
  options?: legacy.Options,
) => unknown;
const run_legacy: Run = (b, request, ki_complete, options = { order: "release first" }) => {
  const iocb = { ki_pos: request.pos, ki_complete };
  const got = legacy.iomap_dio_rw(b.current, iocb, iter_of(b, request), b.file, options);
  return got === -legacy.EIOCBQUEUED ? "EIOCBQUEUED" : got;
};
const run_converted: Run = (b, request, ki_complete, options = { order: "release first" }) =>
  converted.iomap_dio_rw(
    b.current,
    { ki_pos: request.pos, ki_complete },
    iter_of(b, request),
    b.file,
    options,
  );

describe.each([
  ["legacy", run_legacy],
  ["converted", run_converted],
] as const)("%s", (name, run) => {
  const LEN = 40 * PAGE_SIZE;
  function wait(b: Bench, request: Request, options?: legacy.Options): unknown {
    const results: unknown[] = [];
    const got = run(b, request, (result) => results.push(told(result)), options);
    if (got !== "EIOCBQUEUED") {
      expect(results).toEqual([]);
      return told(got);
    }
    run_softirqs(b.machine);
    flush_work(b.machine);
    expect(results.length).toBe(1);
    return results[0];
  }
  function balanced({ machine }: Bench) {
    expect(zero_page_counts(machine)).toEqual(ZERO_PAGE_REFS);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  }
  test.each(["release first", "complete first"] as const)("a write and a read, %s", (order) => {
    const b = bench(({ nr }) => ({ delay: (nr * 3) % 4, bytes: 1024 }));
    const wrote = memory(b, 1536, LEN);
    expect(wait(b, { at: 1536, len: LEN, pos: 512 }, { order })).toBe(LEN);
    expect(Buffer.compare(read_disk(b.disk, ADDR + 512, LEN), wrote)).toBe(0);
    const expected = memory(b, 0, 64 * PAGE_SIZE);
    expected.set(wrote, 20 * PAGE_SIZE + 512);
    const read = { read: true, at: 20 * PAGE_SIZE + 512, len: LEN, pos: 512 };
    expect(wait(b, read, { order })).toBe(LEN);
    expect(Buffer.compare(memory(b, 0, 64 * PAGE_SIZE), expected)).toBe(0);
    if (name === "converted") expect(pins(b.machine)[0]).toBe(2 * 41);
    balanced(b);
  });
  test("new blocks: zeroes before and behind, in bios that hold nothing", () => {
    const b = bench(null, true);
    expect(wait(b, { at: 0, len: 4608, pos: 1024 })).toBe(4608);
    const file = new Uint8Array(8192);
    file.set(memory(b, 0, 4608), 1024);
    expect(Buffer.compare(read_disk(b.disk, ADDR, 8192), file)).toBe(0);
    balanced(b);
  });
  test("a fault after the first bio: EFAULT; at once: EFAULT, and nobody is told", () => {
    const b = bench();
    munmap(b.current, user_ptr_add(b.base, 20 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    expect(wait(b, { at: 0, len: LEN, pos: 0 })).toBe("EFAULT");
    const before = memory(b, 0, 20 * PAGE_SIZE);
    expect(Buffer.compare(read_disk(b.disk, ADDR, 20 * PAGE_SIZE), before)).toBe(0);
    expect(wait(b, { read: true, at: 20 * PAGE_SIZE, len: LEN, pos: 0 })).toBe("EFAULT");
    balanced(b);
  });
  test.each([true, false])("one of the bios fails (read: %s): EIO, told once", (read) => {
    const fails = read ? 0 : 1; // the padding is first
    const b = bench(({ nr }) => (nr === fails ? { error: "EIO", bytes: 512 } : { delay: 2 }), true);
    expect(wait(b, { read, at: 512, len: LEN, pos: 512 })).toBe("EIO");
    balanced(b);
  });
  test("cleaned while the device wrote: dirty again at the end", () => {
    const b = bench();
    const pfn = pfn_at(b.current, b.base);
    run(b, { read: true, at: 0, len: PAGE_SIZE, pos: 0 }, () => undefined);
    expect(dirty([pfn])).toEqual([true]);
    clean(pfn); // writeback, before the bytes were there
    run_softirqs(b.machine);
    flush_work(b.machine);
    expect(dirty([pfn])).toEqual([true]);
    balanced(b);
  });
  test.each([
    ["release first", [1, 0]],
    ["complete first", name === "legacy" ? [2, 0] : [1025, 0]],
  ] as const)("what the program sees of a page when it is told, %s", (order, expected) => {
    const b = bench();
    const pfn = pfn_at(b.current, b.base);
    const seen: unknown[] = [];
    const note = () => seen.push(counts(pfn));
    run(b, { at: 0, len: PAGE_SIZE, pos: 0 }, note, { order });
    run_softirqs(b.machine);
    flush_work(b.machine);
    expect(seen).toEqual([expected]);
    expect(counts(pfn)).toEqual([1, 0]);
    balanced(b);
  });
});

test("converted, and a page was cleaned: a worker releases, after the program was told", () => {
  const b = bench();
  const pfn = pfn_at(b.current, b.base);
  const seen: unknown[] = [];
  const read = { read: true, at: 0, len: PAGE_SIZE, pos: 0 };
  run_converted(b, read, () => seen.push(counts(pfn)));
  clean(pfn);
  run_softirqs(b.machine);
  expect(seen).toEqual([[1025, 0]]);
  flush_work(b.machine);
  expect(counts(pfn)).toEqual([1, 0]);
  expect(left_over(b.machine)).toEqual(NOTHING);
});

describe("the hazards", () => {
  test("the padding without its flag: the zero page is put, though nobody got it", () => {
    const b = bench(null, true);
    const options = { order: "release first", hazard: "zero page put" } as const;
    run_legacy(b, { at: 0, len: 512, pos: 512 }, () => undefined, options);
    const found = misuse_of(() => run_softirqs(b.machine));
    expect(found).toBe(debug_mode ? "release-lent" : null);
    if (!debug_mode) expect(zero_page_counts(b.machine)[0]).toBe(ZERO_PAGE_REFS[0] - 2);
  });
  test("nobody looks whether the pages are dirty still: what was read is never written back", () => {
    const b = bench();
    const pfn = pfn_at(b.current, b.base);
    const options = { order: "release first", hazard: "dirty trusted" } as const;
    const read = { read: true, at: 0, len: PAGE_SIZE, pos: 0 };
    run_legacy(b, read, () => undefined, options);
    clean(pfn);
    run_softirqs(b.machine);
    flush_work(b.machine);
    expect(memory(b, 0, PAGE_SIZE)).toEqual(BACKGROUND.slice(ADDR, ADDR + PAGE_SIZE));
    expect(dirty([pfn])).toEqual([false]);
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
});
