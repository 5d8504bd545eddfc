/** Segments of a log: blocks on the disk in order, whatever the bios are, and what happens if a page of another kind gets in. */
import {
  alloc_page,
  create_task,
  disk_stats,
  dm_flakey,
  FOLL_WRITE,
  get_page,
  get_user_page,
  get_user_pages_fast,
  ITER_SOURCE,
  memcpy_to_page,
  munmap,
  page_ref_count,
  PAGE_SIZE,
  put_page,
  run_softirqs,
  vmstat,
  type BlockDevice,
  type FlakeyPlan,
  type Page,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/nilfs_segment/converted.js";
import * as legacy from "../../call-sites/nilfs_segment/legacy.js";
import {
  boot_for_test,
  debug_mode,
  fill_pattern,
  forced,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import { errno_name, left_over, misuse_of, NOTHING } from "./device.js";
import { disk_of, read_disk } from "./disk.js";

const START = 64;
function bench(plan: FlakeyPlan | null = null) {
  const machine = boot_for_test();
  const current = create_task(machine);
  const disk = disk_of(machine, pattern_of(1 << 20, 8));
  const bdev: BlockDevice = plan ? dm_flakey(disk, plan) : disk;
  /** Pages of the page cache, as the log finds them: theirs is one reference, the log's another. */
  const cached = (nr: number) => {
    const pattern = pattern_of(nr * PAGE_SIZE);
    const pages = Array.from({ length: nr }, (_, i) => {
      const page = must(alloc_page(current));
      const bytes = pattern.subarray(i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
      memcpy_to_page(page, 0, bytes)._unsafeUnwrap();
      return page;
    });
    return { pages, pattern };
  };
  const evict = (pages: readonly Page[]) => {
    for (const page of pages) put_page(page);
  };
  const log = (bytes: number) => read_disk(disk, START * 512, bytes);
  return { machine, current, bdev, disk, cached, evict, log };
}

describe.each([
  ["legacy", legacy],
  ["converted", converted],
] as const)("%s", (_name, nilfs) => {
  const form = nilfs as typeof converted;
  /** Every page as four blocks, last first, as the log likes it. */
  function segment(b: ReturnType<typeof bench>, pages: readonly Page[], max_vecs: number) {
    const segbuf = new form.SegBuf(b.machine, b.bdev, START, max_vecs);
    for (const page of pages) {
      for (let i = 3; i >= 0; i--) {
        const bh = { b_page: get_page(page), offset: i * form.BLOCK_SIZE, size: form.BLOCK_SIZE };
        form.nilfs_segbuf_add_buffer(segbuf, bh);
      }
    }
    return segbuf;
  }
  const written = (pattern: Uint8Array, block: number): Uint8Array => {
    const log = new Uint8Array(pattern.length);
    for (let at = 0; at < pattern.length; at += block) {
      const i = (at / block) % 4;
      const from = at - i * block + (3 - i) * block;
      log.set(pattern.subarray(from, from + block), at);
    }
    return log;
  };
  test.each([256, 7, 1])("blocks go to the disk in their order, %d to a bio", (max_vecs) => {
    const b = bench(({ nr }) => ({ delay: nr % 3, bytes: 512 }));
    const { pages, pattern } = b.cached(10);
    const segbuf = segment(b, pages, max_vecs);
    form.nilfs_segbuf_write(segbuf);
    expect(disk_stats(b.bdev).writes).toBe(Math.ceil(40 / max_vecs));
    expect(errno_name(form.nilfs_segbuf_wait(segbuf))).toBeNull();
    expect(Buffer.compare(b.log(pattern.length), written(pattern, form.BLOCK_SIZE))).toBe(0);
    expect(pages.map(page_ref_count)).toEqual(pages.map(() => 5));
    form.nilfs_segbuf_clear(segbuf);
    expect(pages.map(page_ref_count)).toEqual(pages.map(() => 1));
    b.evict(pages);
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
  test("one bio fails: EIO, and the segment gives its pages back all the same", () => {
    const b = bench(({ nr }) => (nr === 1 ? { error: "EIO" } : null));
    const { pages } = b.cached(4);
    const segbuf = segment(b, pages, 6);
    form.nilfs_segbuf_write(segbuf);
    expect(errno_name(form.nilfs_segbuf_wait(segbuf))).toBe("EIO");
    form.nilfs_segbuf_clear(segbuf);
    b.evict(pages);
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
  test("pages are evicted while the segment is written: its reference keeps them", () => {
    const b = bench();
    const { pages, pattern } = b.cached(4);
    const segbuf = segment(b, pages, 256);
    form.nilfs_segbuf_write(segbuf);
    b.evict(pages);
    form.nilfs_segbuf_wait(segbuf);
    expect(Buffer.compare(b.log(pattern.length), written(pattern, form.BLOCK_SIZE))).toBe(0);
    form.nilfs_segbuf_clear(segbuf);
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
});

describe("a page of another kind", () => {
  function user_memory({ current }: ReturnType<typeof bench>) {
    const addr = map_anon(current, PAGE_SIZE);
    return { addr, pattern: fill_pattern(current, addr, PAGE_SIZE) };
  }
  test("legacy: a user page that was looked up with get_user_pages() passes for any other", () => {
    const b = bench();
    const { addr, pattern } = user_memory(b);
    const pages: Page[] = [];
    get_user_pages_fast(b.current, addr, 1, FOLL_WRITE, pages);
    const segbuf = new legacy.SegBuf(b.machine, b.bdev, START, 4);
    legacy.nilfs_segbuf_add_page(segbuf, pages[0]!, 0, PAGE_SIZE);
    legacy.nilfs_segbuf_write(segbuf);
    expect(legacy.nilfs_segbuf_wait(segbuf)).toBe(0);
    expect(b.log(PAGE_SIZE)).toEqual(pattern);
    // It went well, since the reference is a plain one; had it been a pin, nobody could tell here.
    legacy.nilfs_segbuf_clear(segbuf);
    expect(left_over(b.machine)).toEqual(NOTHING);
  });
  test.each(["legacy", "converted"] as const)("%s, past the compiler: a pin", (name) => {
    const b = bench();
    const { addr } = user_memory(b);
    const pin = must(get_user_page(b.current, addr, ITER_SOURCE));
    if (name === "legacy") {
      const segbuf = new legacy.SegBuf(b.machine, b.bdev, START, 4);
      forced(legacy.nilfs_segbuf_add_page)(segbuf, pin, 0, PAGE_SIZE);
      const found = misuse_of(() => legacy.nilfs_segbuf_write(segbuf));
      expect(found).toBe(debug_mode ? "mixed-bio" : null);
      if (debug_mode) return;
      legacy.nilfs_segbuf_wait(segbuf);
      legacy.nilfs_segbuf_clear(segbuf);
    } else {
      const segbuf = new converted.SegBuf(b.machine, b.bdev, START, 4);
      forced(converted.nilfs_segbuf_add_page)(pin, segbuf, 0, PAGE_SIZE);
      const found = misuse_of(() => converted.nilfs_segbuf_write(segbuf));
      expect(found).toBe(debug_mode ? "mixed-bio" : null);
      if (debug_mode) return;
      converted.nilfs_segbuf_clear(segbuf);
    }
    // One of 1024 was dropped: the page is never free again.
    munmap(b.current, addr, PAGE_SIZE)._unsafeUnwrap();
    expect(vmstat(b.machine).nr_foll_pin_released).toBe(0);
    run_softirqs(b.machine);
    expect(left_over(b.machine).lost_pages).toBe(1);
  });
});

describe("the hazards", () => {
  function written(hazard: legacy.Hazard) {
    const b = bench();
    const { pages, pattern } = b.cached(1);
    const segbuf = new legacy.SegBuf(b.machine, b.bdev, START, 4, hazard);
    legacy.nilfs_segbuf_add_buffer(segbuf, {
      b_page: get_page(pages[0]!),
      offset: 0,
      size: PAGE_SIZE,
    });
    legacy.nilfs_segbuf_write(segbuf);
    return { b, pages, pattern, segbuf };
  }
  test("end_io puts pages that are the segment's", () => {
    const { pages, segbuf } = written("end_io puts pages");
    legacy.nilfs_segbuf_wait(segbuf);
    const found = misuse_of(() => legacy.nilfs_segbuf_clear(segbuf));
    expect(found).toBe(debug_mode ? "double-release" : null);
    // The page cache's own reference is gone.
    if (!debug_mode) expect(misuse_of(() => put_page(pages[0]!))).toBe("page-is-free");
  });
  test("the pages go back before the disk is done: what follows is in the log", () => {
    const { b, pages, pattern, segbuf } = written("pages put before the end");
    b.evict(pages);
    for (let i = 0; i < 8; i++) {
      const page = must(alloc_page(b.current));
      memcpy_to_page(page, 0, new Uint8Array(PAGE_SIZE).fill(0x5a))._unsafeUnwrap();
    }
    legacy.nilfs_segbuf_wait(segbuf);
    expect(b.log(PAGE_SIZE)).not.toEqual(pattern);
    expect(b.log(PAGE_SIZE)).toEqual(new Uint8Array(PAGE_SIZE).fill(0x5a));
  });
});
