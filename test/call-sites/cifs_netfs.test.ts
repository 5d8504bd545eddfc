/** Uncached I/O of a network file system: bytes to a server and back, who holds what meanwhile, and the three wrong releases. */
import {
  alloc_page,
  copy_from_iter,
  copy_from_user,
  copy_to_iter,
  create_task,
  ERR_PTR,
  exit_task,
  flush_work,
  iov_iter_bvec,
  iov_iter_init,
  iov_iter_is_dest,
  iov_iter_is_source,
  iov_iter_ubuf,
  ITER_DEST,
  ITER_SOURCE,
  memcpy_from_page,
  munmap,
  get_user_bvec,
  get_user_page,
  page_ref_count,
  page_to_pfn,
  put_user_bvec,
  put_user_page,
  PAGE_SIZE,
  put_page,
  run_softirqs,
  user_ptr_add,
  type IovIter,
  type SoftirqContext,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/cifs_netfs/converted.js";
import * as legacy from "../../call-sites/cifs_netfs/legacy.js";
import {
  boot_for_test,
  counts,
  debug_mode,
  fill_pattern,
  map_anon,
  must,
  pattern_of,
} from "../fixtures.js";
import { errno_name, extents, interrupt, left_over, misuse_of, NOTHING, pins } from "./device.js";

interface Asked {
  readonly offset: number;
  readonly iter: IovIter;
  readonly done: (result: never, softirq: SoftirqContext) => void;
}
function bench(rsize = 3 * PAGE_SIZE) {
  const machine = boot_for_test();
  const current = create_task(machine);
  const cifsd = create_task(machine);
  const base = map_anon(current, 32 * PAGE_SIZE);
  fill_pattern(current, base, 32 * PAGE_SIZE);
  const file = pattern_of(64 * PAGE_SIZE, 7);
  const asked: Asked[] = [];
  const submit = (request: Asked) => void asked.push(request);
  /** The transport moves the bytes of what was asked, last first, and ends them in softirqs; the n-th fails. */
  function serve(fails = -1, error: unknown = null) {
    for (const [i, { offset, iter, done }] of [...asked.splice(0).entries()].reverse()) {
      const bytes = file.subarray(offset, offset + iter.count);
      const { length } = bytes;
      if (i !== fails && iov_iter_is_dest(iter)) copy_to_iter(bytes, iter, cifsd)._unsafeUnwrap();
      if (i !== fails && iov_iter_is_source(iter)) {
        copy_from_iter(bytes, iter, cifsd)._unsafeUnwrap();
      }
      interrupt(machine, (softirq) => {
        done((i === fails ? error : length) as never, softirq);
      });
    }
    run_softirqs(machine);
  }
  return { machine, current, base, file, asked, serve, server: { rsize, submit } };
}
type Bench = ReturnType<typeof bench>;
function memory({ current, base }: Bench, at: number, len: number): Uint8Array {
  const bytes = new Uint8Array(len);
  copy_from_user(current, bytes, user_ptr_add(base, at))._unsafeUnwrap();
  return bytes;
}
type Run = (b: Bench, iter: IovIter, pos: number, done: (r: unknown) => void) => unknown;
const run_legacy: Run = ({ current, server }, iter, pos, done) =>
  legacy.cifs_uncached_rw(current, server, iter, pos, done);
const run_converted: Run = ({ current, server }, iter, pos, done) =>
  converted.cifs_uncached_rw(current, server, iter, pos, done);

describe.each([
  ["legacy", run_legacy, -5],
  ["converted", run_converted, ERR_PTR("EIO", "the server went away")],
] as const)("%s", (name, run, error) => {
  function balanced({ machine }: Bench) {
    for (const [acquired, released] of [pins(machine), extents(machine)]) {
      expect(released).toBe(acquired);
    }
    expect(left_over(machine)).toEqual(NOTHING);
  }
  test("a write and a read in several requests, ended out of order; a worker releases", () => {
    const b = bench();
    const results: unknown[] = [];
    const wrote = memory(b, 100, 10 * PAGE_SIZE);
    const from = iov_iter_ubuf(ITER_SOURCE, user_ptr_add(b.base, 100), 10 * PAGE_SIZE);
    expect(errno_name(run(b, from, 5000, (r) => results.push(r)))).toBeNull();
    expect(b.asked.length).toBe(4);
    b.serve();
    expect(results).toEqual([]);
    flush_work(b.machine);
    expect(results).toEqual([10 * PAGE_SIZE]);
    expect(Buffer.compare(b.file.subarray(5000, 5000 + 10 * PAGE_SIZE), wrote)).toBe(0);
    const to = iov_iter_init(ITER_DEST, [
      { iov_base: user_ptr_add(b.base, 15 * PAGE_SIZE + 9), iov_len: 7000 },
      { iov_base: user_ptr_add(b.base, 20 * PAGE_SIZE), iov_len: 9000 },
    ]);
    run(b, to, 777, (r) => results.push(r));
    b.serve();
    flush_work(b.machine);
    expect(results).toEqual([10 * PAGE_SIZE, 16000]);
    expect(memory(b, 15 * PAGE_SIZE + 9, 7000)).toEqual(b.file.slice(777, 7777));
    expect(memory(b, 20 * PAGE_SIZE, 9000)).toEqual(b.file.slice(7777, 16777));
    balanced(b);
  });
  test("one request fails: EIO, told once, and all is given back", () => {
    const b = bench();
    const results: unknown[] = [];
    run(b, iov_iter_ubuf(ITER_DEST, b.base, 10 * PAGE_SIZE), 0, (r) => results.push(errno_name(r)));
    b.serve(1, error);
    flush_work(b.machine);
    expect(results).toEqual(["EIO"]);
    balanced(b);
  });
  test("a hole in the middle: EFAULT at once, nothing is sent or held", () => {
    const b = bench();
    munmap(b.current, user_ptr_add(b.base, 6 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const iter = iov_iter_ubuf(ITER_DEST, b.base, 10 * PAGE_SIZE);
    expect(errno_name(run(b, iter, 0, () => expect.unreachable()))).toBe("EFAULT");
    expect(b.asked).toEqual([]);
    balanced(b);
  });
  test("the program exits while requests are under way: the memory stays until they ended", () => {
    const b = bench();
    const results: unknown[] = [];
    const wrote = memory(b, 0, 10 * PAGE_SIZE);
    run(b, iov_iter_ubuf(ITER_SOURCE, b.base, 10 * PAGE_SIZE), 0, (r) => results.push(r));
    exit_task(b.current);
    b.serve();
    flush_work(b.machine);
    expect(results).toEqual([10 * PAGE_SIZE]);
    expect(Buffer.compare(b.file.subarray(0, 10 * PAGE_SIZE), wrote)).toBe(0);
    balanced(b);
  });
  test("memory of the kernel: references in 6.1, nothing now", () => {
    const b = bench();
    const page = must(alloc_page(b.current));
    const iter = iov_iter_bvec(ITER_DEST, [{ page, offset: 96, len: 4000 }]);
    run(b, iter, 128, () => undefined);
    expect(page_ref_count(page)).toBe(name === "legacy" ? 2 : 1);
    b.serve();
    flush_work(b.machine);
    const bytes = new Uint8Array(4000);
    memcpy_from_page(bytes, page, 96)._unsafeUnwrap();
    expect(bytes).toEqual(b.file.slice(128, 4128));
    expect(page_ref_count(page)).toBe(1);
    put_page(page);
    balanced(b);
  });
});

test("an iterator over extents that were released meanwhile: its use is reported in every mode", () => {
  const b = bench();
  const bvecs = must(get_user_bvec(b.current, b.base, PAGE_SIZE, ITER_DEST));
  const iter = iov_iter_bvec(ITER_DEST, Array.from(bvecs));
  put_user_bvec(bvecs);
  const found = misuse_of(() => copy_to_iter(new Uint8Array(8), iter, b.current));
  expect(found).toBe("use-after-release");
});

describe("the hazards", () => {
  const run = (b: Bench, len: number, hazard: legacy.Hazard) =>
    legacy.cifs_uncached_rw(
      b.current,
      b.server,
      iov_iter_ubuf(ITER_DEST, b.base, len),
      0,
      () => undefined,
      hazard,
    );
  test("the last user is the transport, in a softirq: dirtying sleeps", () => {
    const b = bench();
    run(b, PAGE_SIZE, "released in softirq");
    expect(misuse_of(() => b.serve())).toBe("sleep-in-atomic");
  });
  test("the error exit forgets what was collected", () => {
    const b = bench();
    munmap(b.current, user_ptr_add(b.base, 6 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    expect(errno_name(run(b, 10 * PAGE_SIZE, "error exit forgotten"))).toBe("EFAULT");
    expect(left_over(b.machine)).toEqual({ leaks: debug_mode ? 6 : 0, lost_pages: 6 });
  });
  test("the transport puts pages that it was only given to go over", () => {
    const b = bench();
    const pin = must(get_user_page(b.current, b.base, ITER_SOURCE));
    const pfn = page_to_pfn(pin);
    put_user_page(pin);
    run(b, PAGE_SIZE, "transport puts");
    const found = misuse_of(() => {
      b.serve();
      flush_work(b.machine);
    });
    // With debug mode at the second put; without it the program's page is free while it is mapped.
    if (debug_mode) expect(found).toMatch(/double-release|use-after-release/);
    else {
      expect(found).toBeNull();
      expect(counts(pfn)).toEqual([0, 0]);
    }
  });
});
