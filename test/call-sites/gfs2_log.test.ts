/** A log of mixed pages: blocks in order whatever the bios are, each page back where it came from, and a page of a third kind. */
import {
  alloc_page,
  copy_from_user,
  create_task,
  disk_stats,
  dm_flakey,
  FOLL_WRITE,
  get_user_page,
  get_user_pages_fast,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_to_page,
  page_ref_count,
  PAGE_SIZE,
  put_page,
  run_softirqs,
  type BlockDevice,
  type FlakeyPlan,
  type Page,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/gfs2_log/converted.js";
import * as legacy from "../../call-sites/gfs2_log/legacy.js";
import {
  boot_for_test,
  debug_mode,
  fill_pattern,
  forced,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import { errno_name, left_over, misuse_of, NOTHING, pins } from "./device.js";
import { disk_of, read_disk } from "./disk.js";

const POOL = 6;
const block = (seed: number): Uint8Array => pattern_of(PAGE_SIZE, seed);
function bench(plan: FlakeyPlan | null = null) {
  const machine = boot_for_test();
  const current = create_task(machine);
  const disk = disk_of(machine, pattern_of(1 << 20, 8));
  const bdev: BlockDevice = plan ? dm_flakey(disk, plan) : disk;
  const page_of = (bytes: Uint8Array): Page => {
    const page = must(alloc_page(current));
    memcpy_to_page(page, 0, bytes)._unsafeUnwrap();
    return page;
  };
  const log = (blocks: number) => read_disk(disk, 0, blocks * PAGE_SIZE);
  return { machine, current, bdev, page_of, log };
}
const joined = (blocks: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(blocks));

describe.each([
  ["legacy", legacy],
  ["converted", converted],
] as const)("%s", (_name, gfs2) => {
  const form = gfs2 as typeof converted;
  function journal(b: ReturnType<typeof bench>, max_vecs = 64) {
    const pool: converted.Mempool = new form.Mempool();
    for (let i = 0; i < POOL; i++) pool.mempool_free(b.page_of(new Uint8Array(1)));
    return { pool, sdp: new form.Journal(b.bdev, pool, max_vecs) };
  }
  test.each([64, 3])("pages of both kinds in one log, %d to a bio", (max_vecs) => {
    const b = bench(({ nr }) => ({ delay: nr % 2, bytes: 512 }));
    const { pool, sdp } = journal(b, max_vecs);
    const bhs = [1, 2, 3, 4, 5].map((n) => ({ b_page: b.page_of(block(n)), locked: false }));
    const blocks: Uint8Array[] = [];
    for (const [i, bh] of bhs.entries()) {
      form.gfs2_log_write_bh(sdp, bh);
      expect(errno_name(form.gfs2_log_write_page(sdp, block(10 + i)))).toBeNull();
      blocks.push(block(i + 1), block(10 + i));
    }
    form.gfs2_log_submit_bio(sdp);
    expect(bhs.every(({ locked }) => locked)).toBe(true);
    expect(pool.nr_free).toBe(1);
    run_softirqs(b.machine);
    expect(Buffer.compare(b.log(10), joined(blocks))).toBe(0);
    expect(bhs.some(({ locked }) => locked)).toBe(false);
    expect(bhs.map(({ b_page }) => page_ref_count(b_page))).toEqual([1, 1, 1, 1, 1]);
    expect([pool.nr_free, sdp.sd_log_in_flight]).toEqual([POOL, 0]);
    for (const { b_page } of bhs) put_page(b_page);
    pool.mempool_destroy();
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
  test("the disk fails, the pool is empty: each page is back where it came from", () => {
    const b = bench(({ nr }) => (nr === 1 ? { error: "EIO", bytes: 512 } : null));
    const { pool, sdp } = journal(b, 4);
    const bh = { b_page: b.page_of(block(1)), locked: false };
    form.gfs2_log_write_bh(sdp, bh);
    const answers = Array.from({ length: POOL + 1 }, (_, i) =>
      errno_name(form.gfs2_log_write_page(sdp, block(10 + i))),
    );
    expect(answers).toEqual([...Array<null>(POOL).fill(null), "ENOMEM"]);
    form.gfs2_log_submit_bio(sdp);
    run_softirqs(b.machine);
    expect(errno_name(sdp.sd_log_error)).toBe("EIO");
    expect([pool.nr_free, sdp.sd_log_in_flight, bh.locked]).toEqual([POOL, 0, false]);
    put_page(bh.b_page);
    pool.mempool_destroy();
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
});

describe("a third kind: memory of a program", () => {
  test("legacy: it ends in the pool, and the next block of the log overwrites the program's memory", () => {
    const b = bench();
    const addr = map_anon(b.current, PAGE_SIZE);
    const before = fill_pattern(b.current, addr, PAGE_SIZE);
    const pool = new legacy.Mempool();
    const sdp = new legacy.Journal(b.bdev, pool, 64);
    const pages: Page[] = [];
    get_user_pages_fast(b.current, addr, 1, FOLL_WRITE, pages);
    // A plain page like any other: neither C nor debug mode sees a difference.
    expect(misuse_of(() => legacy.gfs2_log_write(sdp, pages[0]!))).toBeNull();
    legacy.gfs2_log_submit_bio(sdp);
    run_softirqs(b.machine);
    expect(Buffer.compare(b.log(1), before)).toBe(0);
    expect(pool.nr_free).toBe(1);
    legacy.gfs2_log_write_page(sdp, block(99));
    const now = new Uint8Array(PAGE_SIZE);
    copy_from_user(b.current, now, addr)._unsafeUnwrap();
    expect(now).toEqual(block(99));
  });
  test.each([
    ["legacy", (sdp: object, page: unknown) => forced(legacy.gfs2_log_write)(sdp, page)],
    ["converted", (sdp: object, page: unknown) => forced(converted.gfs2_log_write)(page, sdp)],
  ] as const)("%s, past the compiler: a pin as a plain page", (name, write) => {
    const b = bench();
    const addr = map_anon(b.current, PAGE_SIZE);
    const form = name === "legacy" ? legacy : converted;
    const sdp = new form.Journal(b.bdev, new form.Mempool() as never, 64);
    const pin = must(get_user_page(b.current, addr, ITER_SOURCE));
    expect(misuse_of(() => write(sdp, pin))).toBe(debug_mode ? "mixed-bio" : null);
  });
  test("converted: it goes in a bio of its own, between the others, and is unpinned at the end", () => {
    const b = bench(({ nr }) => ({ delay: nr % 2 }));
    const addr = map_anon(b.current, PAGE_SIZE);
    const user = fill_pattern(b.current, addr, PAGE_SIZE);
    const pool: converted.Mempool = new converted.Mempool();
    for (let i = 0; i < POOL; i++) pool.mempool_free(b.page_of(new Uint8Array(1)));
    const sdp = new converted.Journal(b.bdev, pool, 64);
    const blocks: Uint8Array[] = [];
    for (let i = 0; i < 3; i++) {
      converted.gfs2_log_write_page(sdp, block(i + 1));
      const page = must(get_user_page(b.current, addr, i === 1 ? ITER_DEST : ITER_SOURCE));
      converted.gfs2_log_write_user(page, sdp);
      blocks.push(block(i + 1), user);
    }
    converted.gfs2_log_submit_bio(sdp);
    expect(disk_stats(b.bdev).writes).toBe(6);
    expect(pins(b.machine)).toEqual([3, 0]);
    run_softirqs(b.machine);
    expect(Buffer.compare(b.log(6), joined(blocks))).toBe(0);
    expect(pins(b.machine)).toEqual([3, 3]);
    expect(pool.nr_free).toBe(POOL);
    const now = new Uint8Array(PAGE_SIZE);
    converted.gfs2_log_write_page(sdp, block(99));
    converted.gfs2_log_submit_bio(sdp);
    run_softirqs(b.machine);
    copy_from_user(b.current, now, addr)._unsafeUnwrap();
    expect(now).toEqual(user);
    pool.mempool_destroy();
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
});
