/** The old direct I/O: bytes over blocks that lie apart, new blocks, faults, errors; and what each forgotten reference costs. */
import {
  copy_from_user,
  create_task,
  dm_flakey,
  ERR_PTR,
  flush_work,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  munmap,
  PAGE_SIZE,
  run_softirqs,
  SECTOR_SIZE,
  shutdown,
  user_ptr_add,
  type BlkError,
  type FlakeyPlan,
  type Machine,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/direct_io/converted.js";
import * as legacy from "../../call-sites/direct_io/legacy.js";
import {
  boot_for_test,
  boot_plain,
  debug_mode,
  fill_pattern,
  map_anon,
  pattern_of,
} from "../fixtures.js";
import { errno_name, extents, left_over, misuse_of, NOTHING, pins } from "./device.js";
import { disk_of, read_disk, zero_page_counts } from "./disk.js";

const ZERO_PAGE_REFS = zero_page_counts(boot_plain());
const EIOCBQUEUED = -legacy.EIOCBQUEUED;
const BLOCK = 4096;
const BACKGROUND = pattern_of(1 << 20, 9);
/** File blocks 0 to 31 lie backwards, in pairs, from sector 1024 on: a pair is contiguous. */
const disk_block = (block: number): number => 128 + (30 - (block & ~1)) + (block & 1);

function bench(plan: FlakeyPlan | null = null, is_new = false, machine = boot_for_test()) {
  const current = create_task(machine);
  const disk = disk_of(machine, BACKGROUND);
  const bdev = plan ? dm_flakey(disk, plan) : disk;
  const base = map_anon(current, 64 * PAGE_SIZE);
  let allowed = Infinity;
  const map = (block: number) => {
    if (allowed-- <= 0) return null;
    const nr = (2 - (block & 1)) * (BLOCK / SECTOR_SIZE);
    return { sector: (disk_block(block) * BLOCK) / SECTOR_SIZE, nr, is_new };
  };
  const common = { machine, bdev, i_blksectors: BLOCK / SECTOR_SIZE };
  return {
    machine,
    current,
    disk,
    base,
    /** Blocks are found so many times; then the disk is full. */
    allow: (n: number) => (allowed = n),
    legacy: { ...common, get_block: (block: number) => map(block) ?? -28 },
    converted: {
      ...common,
      get_block: (block: number): legacy.MapBh | BlkError =>
        map(block) ?? ERR_PTR("ENOSPC", "the disk is full"),
    },
  };
}
type Bench = ReturnType<typeof bench>;
/** What the file holds. */
function read_file({ disk }: Bench, pos: number, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  for (let done = 0; done < len; done += SECTOR_SIZE) {
    const at = pos + done;
    const on_disk = disk_block(Math.floor(at / BLOCK)) * BLOCK + (at % BLOCK);
    bytes.set(read_disk(disk, on_disk, SECTOR_SIZE), done);
  }
  return bytes;
}
function memory({ current, base }: Bench, at: number, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  copy_from_user(current, bytes, user_ptr_add(base, at))._unsafeUnwrap();
  return bytes;
}
interface Request {
  readonly read?: boolean;
  readonly at: number;
  readonly len: number;
  readonly pos: number;
  readonly end_io?: (result: unknown) => void;
  readonly hazard?: legacy.Hazard;
}
const iter_of = ({ base }: Bench, { read, at, len }: Request) =>
  read === true
    ? iov_iter_ubuf(ITER_DEST, user_ptr_add(base, at), len)
    : iov_iter_ubuf(ITER_SOURCE, user_ptr_add(base, at), len);
function run_legacy(b: Bench, request: Request): unknown {
  const { pos, end_io = null, hazard = null } = request;
  const iter = iter_of(b, request);
  return legacy.blockdev_direct_IO(b.current, b.legacy, iter, pos, end_io, hazard);
}
function run_converted(b: Bench, request: Request): unknown {
  const { pos, end_io = null } = request;
  return converted.blockdev_direct_IO(b.current, b.converted, iter_of(b, request), pos, end_io);
}
/** The errno, or the bytes. */
const told = (result: unknown): unknown => errno_name(result) ?? result;

describe.each([
  ["legacy", run_legacy],
  ["converted", run_converted],
] as const)("%s", (name, run) => {
  const LEN = 20 * PAGE_SIZE;
  /** Everything is given back: pages, pins, and the zero page as it was. */
  function balanced(machine: Machine) {
    expect(zero_page_counts(machine)).toEqual(ZERO_PAGE_REFS);
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    const [taken, put] = extents(machine);
    expect(put).toBe(taken);
    expect(left_over(machine)).toEqual(NOTHING);
  }
  test("a write and a read over blocks that lie apart, from the middle of a page", () => {
    const b = bench();
    fill_pattern(b.current, b.base, 64 * PAGE_SIZE);
    const wrote = memory(b, 1536, LEN);
    expect(told(run(b, { at: 1536, len: LEN, pos: 3 * BLOCK + 512 }))).toBe(LEN);
    expect(Buffer.compare(read_file(b, 3 * BLOCK + 512, LEN), wrote)).toBe(0);
    const around = memory(b, 0, 64 * PAGE_SIZE);
    around.set(wrote, 30 * PAGE_SIZE + 512);
    const read = { read: true, at: 30 * PAGE_SIZE + 512, len: LEN, pos: 3 * BLOCK + 512 };
    expect(told(run(b, read))).toBe(LEN);
    expect(Buffer.compare(memory(b, 0, 64 * PAGE_SIZE), around)).toBe(0);
    balanced(b.machine);
  });
  test("more pages than are looked up at once", () => {
    const b = bench();
    const len = 31 * PAGE_SIZE;
    fill_pattern(b.current, b.base, len + 4 * PAGE_SIZE);
    for (const pos of [0, 512, 1024]) {
      const wrote = memory(b, 512, len);
      expect(told(run(b, { at: 512, len, pos }))).toBe(len);
      expect(Buffer.compare(read_file(b, pos, len), wrote)).toBe(0);
    }
    balanced(b.machine);
  });
  test("new blocks: what the write leaves of them is zero", () => {
    const b = bench(null, true);
    fill_pattern(b.current, b.base, 4 * PAGE_SIZE);
    const wrote = memory(b, 0, 6144);
    expect(told(run(b, { at: 0, len: 6144, pos: 1024 }))).toBe(6144);
    const file = new Uint8Array(2 * BLOCK);
    file.set(wrote, 1024);
    expect(Buffer.compare(read_file(b, 0, 2 * BLOCK), file)).toBe(0);
    balanced(b.machine);
  });
  test("a fault in the middle of a write: the allocated rest is zero, EFAULT", () => {
    const b = bench(null, true);
    fill_pattern(b.current, b.base, 16 * PAGE_SIZE);
    munmap(b.current, user_ptr_add(b.base, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const wrote = memory(b, 512, 3 * PAGE_SIZE - 512);
    expect(told(run(b, { at: 512, len: 8 * PAGE_SIZE, pos: 0 }))).toBe("EFAULT");
    const file = new Uint8Array(4 * BLOCK);
    file.set(wrote);
    expect(Buffer.compare(read_file(b, 0, 4 * BLOCK), file)).toBe(0);
    const untouched = disk_block(4) * BLOCK;
    expect(read_disk(b.disk, untouched, BLOCK)).toEqual(
      BACKGROUND.subarray(untouched, untouched + BLOCK),
    );
    balanced(b.machine);
  });
  test("a fault in the middle of a read, and at the beginning: EFAULT", () => {
    const b = bench();
    munmap(b.current, user_ptr_add(b.base, 3 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const read = { read: true, at: 0, len: 8 * PAGE_SIZE, pos: 0 };
    expect(told(run(b, read))).toBe("EFAULT");
    expect(memory(b, 0, 3 * PAGE_SIZE)).toEqual(read_file(b, 0, 3 * PAGE_SIZE));
    expect(told(run(b, { ...read, at: 3 * PAGE_SIZE }))).toBe("EFAULT");
    expect(told(run(b, { at: 3 * PAGE_SIZE, len: 512, pos: 0 }))).toBe("EFAULT");
    balanced(b.machine);
  });
  test("no block for the rest: ENOSPC, and what is queued is given back", () => {
    const b = bench(null, true);
    fill_pattern(b.current, b.base, LEN);
    b.allow(2);
    expect(told(run(b, { at: 0, len: LEN, pos: 0 }))).toBe("ENOSPC");
    expect(Buffer.compare(read_file(b, 0, 4 * BLOCK), memory(b, 0, 4 * BLOCK))).toBe(0);
    balanced(b.machine);
  });
  test.each([true, false])("the disk fails one of the bios (read: %s): EIO", (read) => {
    const b = bench(({ nr }) => (nr === 2 ? { error: "EIO", bytes: 512 } : { delay: nr % 3 }));
    fill_pattern(b.current, b.base, LEN);
    expect(told(run(b, { read, at: 0, len: LEN, pos: 0 }))).toBe("EIO");
    balanced(b.machine);
  });
  test("in parts and out of order", () => {
    const b = bench(({ nr }) => ({ delay: (nr * 7) % 5, bytes: 512 }));
    fill_pattern(b.current, b.base, LEN);
    const before = memory(b, 0, LEN);
    expect(told(run(b, { at: 0, len: LEN, pos: 512 }))).toBe(LEN);
    expect(Buffer.compare(read_file(b, 512, LEN), before)).toBe(0);
    balanced(b.machine);
  });
  test.each([true, false])(
    "nobody waits (read: %s): told once, and then nothing is held",
    (read) => {
      const b = bench(({ nr }) => ({ delay: nr % 2 }));
      fill_pattern(b.current, b.base, LEN);
      const results: unknown[] = [];
      const end_io = (result: unknown) => results.push(told(result));
      const got = run(b, { read, at: 0, len: LEN, pos: 512, end_io });
      expect(got).toBe(name === "legacy" ? EIOCBQUEUED : "EIOCBQUEUED");
      expect(results).toEqual([]);
      run_softirqs(b.machine);
      flush_work(b.machine);
      expect(results).toEqual([LEN]);
      expect(Buffer.compare(read_file(b, 512, LEN), memory(b, 0, LEN))).toBe(0);
      balanced(b.machine);
    },
  );
  test("references: three for each page, or one for each extent", () => {
    const b = bench();
    fill_pattern(b.current, b.base, 64 * PAGE_SIZE);
    run(b, { at: 0, len: 8 * PAGE_SIZE, pos: 0 });
    const [taken] = extents(b.machine);
    if (name === "legacy") expect(taken).toBe(0);
    // As many as there are pairs of blocks, and what split_user_bvec() took for their borders.
    else expect(taken).toBeLessThanOrEqual(8);
    balanced(b.machine);
  });
});

describe("the hazards", () => {
  const LEN = 20 * PAGE_SIZE;
  function leaks_of(hazard: legacy.Hazard, machine = boot_for_test()) {
    const b = bench(null, true, machine);
    fill_pattern(b.current, b.base, LEN);
    b.allow(hazard === "no cleanup" ? 2 : Infinity);
    run_legacy(b, { at: 0, len: LEN, pos: 0, hazard });
    return shutdown(b.machine);
  }
  test("an error exit that does not release [head, tail): the rest of the queue is lost", () => {
    const { leaks, lost_pages } = leaks_of("no cleanup");
    // 4 pages went to the two pairs of blocks, the fifth was taken out of the queue.
    expect(lost_pages).toBe(15);
    expect(leaks.length).toBe(debug_mode ? 15 : 0);
  });
  test("one of the three places forgotten: every page is lost", () => {
    const { leaks, lost_pages } = leaks_of("current page kept");
    expect(lost_pages).toBe(20);
    expect(leaks.length).toBe(debug_mode ? 20 : 0);
  });
  test("the zero page without a reference of its own, put like the others", () => {
    const b = bench(null, true);
    fill_pattern(b.current, b.base, PAGE_SIZE);
    const before = zero_page_counts(b.machine);
    const write = { at: 0, len: 512, pos: 512, hazard: "zero page not taken" } as const;
    expect(misuse_of(() => run_legacy(b, write))).toBe(debug_mode ? "release-lent" : null);
    if (debug_mode) return;
    // Before the bytes and behind them: two references that others hold are gone, and two more with the next write.
    expect(zero_page_counts(b.machine)[0]).toBe(before[0] - 2);
    run_legacy(b, write);
    expect(zero_page_counts(b.machine)[0]).toBe(before[0] - 4);
  });
  test("the release is converted, the acquirer is not: 1024 references are dropped where 1 was held", () => {
    const b = bench();
    fill_pattern(b.current, b.base, PAGE_SIZE);
    const write = { at: 0, len: 512, pos: 512, hazard: "half converted" } as const;
    const found = misuse_of(() => run_legacy(b, write));
    expect(found).toBe(debug_mode ? "page-to-put_user_page" : null);
    if (debug_mode) return;
    const [acquired, released] = pins(b.machine);
    expect([acquired, released]).toEqual([0, 1]);
    expect(shutdown(b.machine).lost_pages).toBeGreaterThan(0);
  });
});
