/**
 * Races around secure pages, as interleavings of two CPUs: the second runs at a preemption point of the first.
 *
 * A: a page is made accessible while another CPU makes it secure again.
 * B: a reference is taken while another CPU has frozen the count.
 */
import {
  copy_from_user,
  create_task,
  dmesg,
  get_page,
  get_page_unless_zero,
  get_user_bvec,
  get_user_page,
  get_user_pages_fast,
  ITER_DEST,
  ITER_SOURCE,
  make_accessible,
  MAP_SHARED,
  misuse_reports,
  mmap,
  on_preemption,
  page_ref_count,
  page_to_pfn,
  pfn_to_page,
  put_page,
  put_user_page,
  secure_rw_page,
  shutdown,
  try_get_folio,
  try_get_page,
  uv_stat,
  vmstat,
  WouldSpin,
  type Page,
  type PreemptionPoint,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, forced, must } from "../fixtures.js";
import {
  at_point,
  dma,
  lookup,
  make_world,
  peek,
  RW,
  secure,
  secure_by_kworker,
  secure_once,
  shared_page,
  type World,
} from "./uv_world.js";

const spins = (call: () => unknown): boolean => {
  try {
    call();
  } catch (error) {
    if (error instanceof WouldSpin) return true;
    throw error;
  }
  return false;
};

describe("race A", () => {
  test("is safe while the reference of the look-up is held throughout: the freeze cannot match", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    const converted = at_point(
      w,
      "make_accessible: exported",
      () => [secure_once(w.guest, w.buf), secure(w.guest, w.buf)],
      () => expect(make_accessible(page, w.guest)).toBe(true),
    );
    expect(converted).toEqual(["EBUSY", "EAGAIN"]);
    const again = get_page(page);
    put_page(page);
    expect(dma(w, again)).toBe("ok");
    put_page(again);
    expect(uv_stat(w.machine).access_exceptions).toBe(0);
  });
  test("is lost where the only reference is one of those expected: get_page() is too late, the device gets the exception", () => {
    using w = make_world(undefined, { panic_on_warn: false });
    secure(w.guest, w.buf);
    const lent = peek(w.guest, w.buf);
    const converted = at_point(
      w,
      "make_accessible: exported",
      () => secure_once(w.guest, w.buf),
      () => forced(make_accessible)(lent, w.guest),
    );
    expect(converted).toBe("ok");
    expect(misuse_reports(w.machine).map(({ id }) => id)).toEqual(["accessible-before-reference"]);
    const late = get_page(lent);
    expect(dma(w, late)).toBe("EIO");
    put_page(late);
    expect(uv_stat(w.machine).access_exceptions).toBe(1);
    expect(dmesg(w.machine).at(-1)).toContain("access exception");
  });
  test("the same with the reference of the page cache as the only one", () => {
    using w = make_world(undefined, { panic_on_warn: false });
    const { ours } = shared_page(w);
    secure(w.guest, ours);
    const lent = peek(w.guest, ours);
    const converted = at_point(
      w,
      "make_accessible: exported",
      () => secure_once(w.guest, ours),
      () => forced(make_accessible)(lent, w.guest),
    );
    expect(converted).toBe("ok");
    const late = get_page(lent);
    expect(dma(w, late)).toBe("EIO");
    put_page(late);
  });
  test("the order that compiles, reference first, closes it: whatever the other CPU does, no exception", () => {
    const points: PreemptionPoint[] = ["make_accessible: exported", "make_secure: frozen"];
    for (const where of points) {
      using w = make_world();
      secure(w.guest, w.buf);
      using _cpu = on_preemption(w.machine, (point) => {
        if (point === where) secure(w.guest, w.buf);
      });
      const page = lookup(w.guest, w.buf);
      secure(w.guest, w.buf);
      if (make_accessible(page, w.guest)) {
        secure(w.guest, w.buf);
        expect(secure_rw_page(w.disk, "REQ_OP_WRITE", 0, page, w.guest)).toBeNull();
      }
      put_page(page);
      expect(uv_stat(w.machine)).toMatchObject({ access_exceptions: 0, exports: 1 });
    }
  });
  test("a pin closes it as well", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const converted = at_point(
      w,
      "make_accessible: exported",
      () => secure_once(w.guest, w.buf),
      () => put_user_page(must(get_user_page(w.guest, w.buf, ITER_SOURCE))),
    );
    expect(converted).toBe("EBUSY");
  });
  test("FOLL_GET and then I/O, as sendto() and splice() do it, gets the exception without any race", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    expect(dma(w, page)).toBe("EIO");
    put_page(page);
  });
});

describe("race B: while the count is frozen", () => {
  /** Runs on the second CPU while make_folio_secure() of the guest has frozen the page. */
  function frozen<T>(w: World, addr: UserAddr, cpu2: () => T): T {
    return at_point(w, "make_secure: frozen", cpu2, () => {
      expect(secure_by_kworker(w, addr)).toBe("ok");
    });
  }
  test("the entry stays present: a migration would have removed it first", () => {
    using w = make_world();
    const found = frozen(w, w.buf, () => {
      const bytes = new Uint8Array(4096);
      copy_from_user(w.guest, bytes, w.buf)._unsafeUnwrap();
      return bytes;
    });
    // It is not secure yet, and a CPU takes no reference.
    expect(found).toEqual(w.plain);
  });
  test("slow GUP of another mm that maps the same file page sees 0: a warning, and ENOMEM", () => {
    using w = make_world();
    const { other, ours, theirs } = shared_page(w);
    const errno = frozen(w, ours, () => errno_of(get_user_page(other, theirs, ITER_DEST)));
    expect(errno).toBe("ENOMEM");
    expect(dmesg(w.machine).join("\n")).toMatch(/WARNING: refcount 0 of page/);
    // It was lucky in the same place a moment later.
    put_user_page(must(get_user_page(other, theirs, ITER_DEST)));
  });
  test("the same for FOLL_GET, whose answer is the number of C", () => {
    using w = make_world();
    const { other, ours, theirs } = shared_page(w);
    const pages: Page[] = [];
    const got = frozen(w, ours, () => get_user_pages_fast(other, theirs, 1, 0, pages));
    expect([got, pages]).toEqual([-12, []]);
  });
  test("try_get_page() sees 0: a warning and false, as it refuses whatever is not above 0", () => {
    using w = make_world();
    const { ours } = shared_page(w);
    const lent = peek(w.guest, ours);
    expect(frozen(w, ours, () => try_get_page(lent))).toBeNull();
    expect(dmesg(w.machine).at(-1)).toMatch(/^WARNING: try_get_page\(\): refcount 0 of page/);
  });
  test("try_get_folio() and get_page_unless_zero() see 0 and fail silently", () => {
    using w = make_world();
    const { ours } = shared_page(w);
    const found = must(pfn_to_page(w.machine, page_to_pfn(peek(w.guest, ours))));
    const before = dmesg(w.machine).length;
    expect(frozen(w, ours, () => [try_get_folio(found), get_page_unless_zero(found)])).toEqual([
      null,
      null,
    ]);
    expect(dmesg(w.machine).length).toBe(before);
  });
  test("the same mm is excluded: fast GUP falls silently to the slow walk, which waits for the page-table lock", () => {
    using w = make_world();
    const before = vmstat(w.machine);
    const waits = frozen(w, w.buf, () => [
      spins(() => get_user_page(w.guest, w.buf, ITER_DEST)),
      spins(() => get_user_bvec(w.guest, w.buf, 4096, ITER_DEST)),
      spins(() => get_user_pages_fast(w.guest, w.buf, 1, 0, [])),
    ]);
    expect(waits).toEqual([true, true, true]);
    expect(dmesg(w.machine)).toEqual([]);
    expect(vmstat(w.machine).nr_foll_pin_acquired).toBe(before.nr_foll_pin_acquired);
    put_user_page(must(get_user_page(w.guest, w.buf, ITER_DEST)));
  });
  test("who has to wait holds nothing: not the pages before the frozen one either", () => {
    using w = make_world(undefined, {}, 3);
    const last = (w.buf + 2 * 4096) as UserAddr;
    const waits = frozen(w, last, () => [
      spins(() => get_user_bvec(w.guest, w.buf, 3 * 4096, ITER_DEST)),
      spins(() => get_user_pages_fast(w.guest, w.buf, 3, 0, [])),
    ]);
    expect(waits).toEqual([true, true]);
    for (const addr of [w.buf, (w.buf + 4096) as UserAddr]) {
      const page = lookup(w.guest, addr);
      expect(page_ref_count(page)).toBe(2);
      put_page(page);
    }
    expect(shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
  test("a page that was secure before: a CPU that accesses it faults until it is unfrozen", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const touch = () => copy_from_user(w.guest, new Uint8Array(1), w.buf);
    expect(frozen(w, w.buf, () => spins(touch))).toBe(true);
    expect(touch().isOk()).toBe(true);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1, faults: 2 });
  });
  test("a look-up in the page cache spins until the page is unfrozen", () => {
    using w = make_world();
    const { file, ours } = shared_page(w);
    const third = create_task(w.machine);
    const fresh = mmap(third, null, 4096, RW, MAP_SHARED, file)._unsafeUnwrap();
    const touch = () => copy_from_user(third, new Uint8Array(1), fresh);
    expect(frozen(w, ours, () => spins(touch))).toBe(true);
    expect(touch().isOk()).toBe(true);
  });
  test("the count is what it was when all is over", () => {
    using w = make_world();
    const { other, ours, theirs } = shared_page(w);
    frozen(w, ours, () => get_user_page(other, theirs, ITER_DEST));
    const page = lookup(other, theirs);
    expect(page_ref_count(page)).toBe(4);
    put_page(page);
  });
});
