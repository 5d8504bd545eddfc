/** RDMA of RDS: what the remote side wrote arrives, the end in a softirq waits for a worker, and the two releases that were wrong. */
import {
  copy_from_user,
  create_task,
  flush_work,
  munmap,
  PAGE_SIZE,
  run_softirqs,
  user_ptr_add,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/rds_rdma/converted.js";
import * as legacy from "../../call-sites/rds_rdma/legacy.js";
import {
  boot_for_test,
  boot_plain,
  debug_mode,
  fill_pattern,
  map_anon,
  pattern_of,
} from "../fixtures.js";
import {
  dirty,
  dma_read,
  dma_write,
  errno_name,
  interrupt,
  left_over,
  misuse_of,
  NOTHING,
  pfns_of,
  pins,
  succeeded,
} from "./device.js";

function bench(boot = boot_for_test) {
  const machine = boot();
  const current = create_task(machine);
  const base = map_anon(current, 16 * PAGE_SIZE);
  fill_pattern(current, base, 16 * PAGE_SIZE);
  const cookie = map_anon(current, PAGE_SIZE);
  const bad: UserAddr = map_anon(current, PAGE_SIZE);
  munmap(current, bad, PAGE_SIZE)._unsafeUnwrap();
  return { machine, current, addr: user_ptr_add(base, 100), len: 3 * PAGE_SIZE, base, cookie, bad };
}

describe.each([
  ["legacy", legacy],
  ["converted", converted],
] as const)("%s", (_name, rds) => {
  // One interface per form: the two regions are different types.
  const form = rds as typeof converted;

  test("a region: the remote side reads and writes it, tearing it down dirties and releases", () => {
    const { machine, current, addr, len, cookie } = bench();
    const mr = succeeded(form.rds_rdma_map(current, addr, len, cookie));
    expect(pins(machine)).toEqual([4, 0]);
    const told = new Uint8Array(4);
    copy_from_user(current, told, cookie)._unsafeUnwrap();
    expect(told).toEqual(new Uint8Array([1, 0, 0, 0]));
    const sg = form.rds_sg(mr);
    expect(dma_read(machine, sg)).toEqual(pattern_of(16 * PAGE_SIZE).slice(100, 100 + len));
    dma_write(machine, sg, pattern_of(len, 8));
    form.rds_ib_teardown_mr(mr, current);
    form.rds_ib_teardown_mr(mr, current);
    expect(dirty(pfns_of(sg))).toEqual([true, true, true, true]);
    const now = new Uint8Array(len);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(now).toEqual(pattern_of(len, 8));
    expect(pins(machine)).toEqual([4, 4]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("the last put in a softirq: the pins stay until a worker runs", () => {
    const { machine, current, addr, len } = bench();
    const op = succeeded(form.rds_rdma_op(current, addr, len));
    const sg = form.rds_sg(op);
    interrupt(machine, (softirq) => {
      dma_write(machine, sg, pattern_of(len, 9));
      form.rds_message_put(op, softirq);
    });
    expect(run_softirqs(machine)).toBe(1);
    expect(pins(machine)).toEqual([4, 0]);
    expect(dirty(pfns_of(sg))).toEqual([false, false, false, false]);
    expect(flush_work(machine)).toBe(1);
    expect(pins(machine)).toEqual([4, 4]);
    expect(dirty(pfns_of(sg))).toEqual([true, true, true, true]);
    const now = new Uint8Array(len);
    copy_from_user(current, now, addr)._unsafeUnwrap();
    expect(now).toEqual(pattern_of(len, 9));
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("the last put where it may sleep", () => {
    const { machine, current, addr, len } = bench();
    const op = succeeded(form.rds_rdma_op(current, addr, len));
    form.rds_rdma_free_op(op, current);
    expect(pins(machine)).toEqual([4, 4]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test.each([0, 2])("a hole after %d pages: EFAULT, nothing stays pinned", (good) => {
    const { machine, current, base, addr, len, cookie } = bench();
    munmap(current, user_ptr_add(base, good * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    expect(errno_name(form.rds_rdma_map(current, addr, len, cookie))).toBe("EFAULT");
    expect(errno_name(form.rds_rdma_op(current, addr, len))).toBe("EFAULT");
    const [acquired, released] = pins(machine);
    expect(released).toBe(acquired);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("the cookie cannot be told: released once", () => {
    const { machine, current, addr, len, bad } = bench();
    expect(errno_name(form.rds_rdma_map(current, addr, len, bad))).toBe("EFAULT");
    expect(pins(machine)).toEqual([4, 4]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

test("the hazard: put_page() on pins; debug mode names it, without it the pages never come back", () => {
  const { machine, current, base, addr, len, cookie } = bench();
  const mr = succeeded(legacy.rds_rdma_map(current, addr, len, cookie));
  const found = misuse_of(() => legacy.rds_ib_teardown_mr_puts(mr));
  expect(found).toBe(debug_mode ? "pin-to-put_page" : null);
  expect(pins(machine)).toEqual([4, 0]);
  munmap(current, base, 16 * PAGE_SIZE)._unsafeUnwrap();
  expect(left_over(machine)).toEqual({ leaks: debug_mode ? 4 : 0, lost_pages: 4 });
});
test("the hazard: the caller and the region both release; the second is a double release", () => {
  const { current, addr, len, bad } = bench(() =>
    boot_for_test({ CONFIG_DEBUG_USER_PAGE_REFERENCES: true }),
  );
  const twice = () => legacy.rds_rdma_map_releases_twice(current, addr, len, bad);
  expect(misuse_of(twice)).toBe("double-release");
});
test("and without debug mode: counts go below the program's own mapping", () => {
  const { machine, current, addr, len, bad } = bench(boot_plain);
  expect(errno_name(legacy.rds_rdma_map_releases_twice(current, addr, len, bad))).toBe("EFAULT");
  expect(pins(machine)).toEqual([4, 8]);
});
test("the hazard: the last put in a softirq dirties at once; the machine hangs in its handler, in every mode", () => {
  const { machine, current, addr, len } = bench();
  const op = succeeded(legacy.rds_rdma_op(current, addr, len));
  interrupt(machine, () => {
    legacy.rds_message_put_at_once(op);
  });
  expect(misuse_of(() => run_softirqs(machine))).toBe("sleep-in-atomic");
  expect(pins(machine)).toEqual([4, 0]);
});
