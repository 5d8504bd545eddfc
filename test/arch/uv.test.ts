/** Secure pages of s390: what makes one, and who may look.  Each title is a statement about Linux. */
import {
  bio_add_page,
  bio_alloc,
  bio_put,
  boot,
  copy_from_user,
  copy_to_user,
  create_task,
  dmesg,
  get_user_page,
  ITER_DEST,
  ITER_SOURCE,
  MADV_HUGEPAGE,
  MADV_PAGEOUT,
  madvise,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  memcpy_from_page,
  memfd_create,
  MFD_HUGE,
  mmap,
  munmap,
  on_preemption,
  page_ref_count,
  PROT_READ,
  put_page,
  put_user_page,
  setup_uv,
  shutdown,
  submit_bio_wait,
  uv_stat,
  type UvAnswer,
  type UvCall,
} from "user-page";
import { describe, expect, test } from "vitest";
import { page_flags, PG_writeback } from "../../src/machine/arena.js";
import { boot_for_test, map_anon, must } from "../fixtures.js";
import {
  at,
  is_marked,
  lookup,
  make_world,
  pfn_at,
  raw_bytes,
  read,
  RW,
  secure,
  secure_once,
  share,
  shared_page,
} from "./uv_world.js";

describe("making a page secure", () => {
  test("marks a small page with PG_arch_1; its entry and its count stay", () => {
    using w = make_world();
    const pfn = pfn_at(w.guest, w.buf);
    expect(is_marked(w.guest, w.buf)).toBe(false);
    expect(secure_once(w.guest, w.buf)).toBe("ok");
    expect(is_marked(w.guest, w.buf)).toBe(true);
    expect(pfn_at(w.guest, w.buf)).toBe(pfn);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 1, imports: 1, exports: 0 });
    const page = lookup(w.guest, w.buf);
    expect(page_ref_count(page)).toBe(2);
    put_page(page);
  });
  test("fails with EAGAIN while the page is under writeback", () => {
    using w = make_world();
    const pfn = pfn_at(w.guest, w.buf);
    page_flags[pfn] = page_flags[pfn]! | PG_writeback;
    expect(secure_once(w.guest, w.buf)).toBe("EAGAIN");
    expect(secure(w.guest, w.buf)).toBe("EAGAIN");
    page_flags[pfn] = page_flags[pfn] & ~PG_writeback;
    expect(secure(w.guest, w.buf)).toBe("ok");
  });
  test("fails with EBUSY while anybody holds a reference that is not expected; after a retry that is EAGAIN", () => {
    using w = make_world();
    const page = lookup(w.guest, w.buf);
    expect(secure_once(w.guest, w.buf)).toBe("EBUSY");
    expect(secure(w.guest, w.buf)).toBe("EAGAIN");
    expect(page_ref_count(page)).toBe(2);
    put_page(page);
    expect(secure_once(w.guest, w.buf)).toBe("ok");
  });
  test("fails with EBUSY while the page is pinned", () => {
    using w = make_world();
    const pin = must(get_user_page(w.guest, w.buf, ITER_SOURCE));
    expect(secure_once(w.guest, w.buf)).toBe("EBUSY");
    put_user_page(pin);
    expect(secure_once(w.guest, w.buf)).toBe("ok");
  });
  test("expects one reference of each entry and one of the page cache: it is computed, not a fixed number", () => {
    using w = make_world();
    const { other, ours, theirs } = shared_page(w);
    const page = lookup(w.guest, ours);
    expect(page_ref_count(page)).toBe(4); // two entries, the file, this one
    put_page(page);
    expect(secure_once(w.guest, ours)).toBe("ok");
    munmap(other, theirs, 4096)._unsafeUnwrap();
    expect(secure_once(w.guest, ours)).toBe("ok");
  });
  test("fails with ENXIO where nothing is mapped; then the page is faulted in and tried again", () => {
    using w = make_world();
    const fresh = map_anon(w.guest, 4096);
    expect(secure_once(w.guest, fresh)).toBe("ENXIO");
    expect(secure(w.guest, fresh)).toBe("ok");
  });
  test("fails with ENXIO where the entry is not writable: the shared zero page is never secure", () => {
    using w = make_world();
    const fresh = map_anon(w.guest, 4096);
    read(w.guest, fresh);
    const zero = pfn_at(w.guest, fresh);
    expect(secure_once(w.guest, fresh)).toBe("ENXIO");
    expect(secure(w.guest, fresh)).toBe("ok");
    expect(pfn_at(w.guest, fresh)).not.toBe(zero);
  });
  test("fails with E2BIG for a large folio, which is split and tried again", () => {
    using w = make_world();
    const huge = mmap(w.guest, null, 2 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
    madvise(w.guest, huge, 2 << 20, MADV_HUGEPAGE)._unsafeUnwrap();
    copy_to_user(w.guest, at(huge, 7), w.plain)._unsafeUnwrap();
    expect(secure_once(w.guest, at(huge, 7))).toBe("E2BIG");
    expect(secure(w.guest, at(huge, 7))).toBe("ok");
    expect(uv_stat(w.machine).secure_pages).toBe(1);
    expect(share(w.guest, at(huge, 7))).toBe("ok");
    expect(read(w.guest, at(huge, 7))).toEqual(w.plain);
  });
  test("a pin of any page of a large folio keeps it from being split, so all of it from being secure", () => {
    using w = make_world();
    const huge = mmap(w.guest, null, 2 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
    madvise(w.guest, huge, 2 << 20, MADV_HUGEPAGE)._unsafeUnwrap();
    const pin = must(get_user_page(w.guest, at(huge, 500), ITER_DEST));
    expect(secure(w.guest, at(huge, 7))).toBe("EAGAIN");
    put_user_page(pin);
    expect(secure(w.guest, at(huge, 7))).toBe("ok");
  });
  test("huge pages of a file are never split: EFAULT", () => {
    using w = make_world();
    using file = must(memfd_create(w.guest, 2 << 20, MFD_HUGE));
    const buf = mmap(w.guest, null, 2 << 20, RW, MAP_SHARED, file)._unsafeUnwrap();
    copy_to_user(w.guest, buf, w.plain)._unsafeUnwrap();
    expect(secure_once(w.guest, buf)).toBe("E2BIG");
    expect(secure(w.guest, buf)).toBe("EFAULT");
  });
  test("fails with EFAULT where the mapping allows no store, or there is none", () => {
    using w = make_world();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const readable = mmap(w.guest, null, 4096, PROT_READ, flags)._unsafeUnwrap();
    expect(secure(w.guest, readable)).toBe("EFAULT");
    munmap(w.guest, readable, 4096)._unsafeUnwrap();
    expect(secure(w.guest, readable)).toBe("EFAULT");
  });
  test.each([
    ["busy", "EAGAIN"],
    ["partial", "EAGAIN"],
    ["error", "EINVAL"],
  ] as const)("the ultravisor is called once; %s makes it %s", (answer: UvAnswer, errno) => {
    const calls: UvCall[] = [];
    using w = make_world((call) => {
      calls.push(call);
      return calls.length === 1 ? answer : null;
    });
    const before = pfn_at(w.guest, w.buf);
    expect(secure_once(w.guest, w.buf)).toBe(errno);
    expect(calls).toEqual(["convert to secure"]);
    // The mark over-indicates; the count is what it was.
    expect(is_marked(w.guest, w.buf)).toBe(true);
    expect(uv_stat(w.machine).secure_pages).toBe(0);
    expect(pfn_at(w.guest, w.buf)).toBe(before);
    expect(secure_once(w.guest, w.buf)).toBe("ok");
  });
  test("there is one call for each time the page is frozen, and none for one that cannot be", () => {
    const heard: string[] = [];
    using w = make_world((call) => {
      heard.push(call);
      return heard.length === 2 ? "busy" : null;
    });
    const page = lookup(w.guest, w.buf);
    using _cpu = on_preemption(w.machine, (point) => void heard.push(point));
    expect([secure(w.guest, w.buf), heard]).toEqual(["EAGAIN", []]);
    put_page(page);
    expect(secure(w.guest, w.buf)).toBe("EAGAIN");
    const once = ["make_secure: frozen", "convert to secure"];
    expect(heard).toEqual(once);
    expect(secure(w.guest, w.buf)).toBe("ok");
    expect(heard).toEqual([...once, ...once]);
  });
  test("twice is once", () => {
    using w = make_world();
    expect([secure(w.guest, w.buf), secure(w.guest, w.buf)]).toEqual(["ok", "ok"]);
    expect(uv_stat(w.machine).imports).toBe(1);
  });
  test("a machine without an ultravisor has no secure pages", () => {
    using machine = boot_for_test();
    const task = create_task(machine);
    const buf = map_anon(task, 4096);
    copy_to_user(task, buf, new Uint8Array(1))._unsafeUnwrap();
    expect(secure(task, buf)).toBe("EINVAL");
    expect(uv_stat(machine).secure_pages).toBe(0);
  });
  test("a machine gets one ultravisor", () => {
    using w = make_world();
    expect(() => setup_uv(w.machine)).toThrow(RangeError);
  });
});

describe("a secure page", () => {
  test("CPU access of the host self-heals: the fault handler exports the page, and the host sees encrypted bytes", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const seen = read(w.guest, w.buf);
    expect(seen).not.toEqual(w.plain);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1, faults: 1 });
    expect(is_marked(w.guest, w.buf)).toBe(false);
    read(w.guest, w.buf);
    expect(uv_stat(w.machine).faults).toBe(1);
  });
  test("what was exported unchanged can be made secure again, and the guest has its bytes", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    read(w.guest, w.buf);
    expect(secure(w.guest, w.buf)).toBe("ok");
    expect(raw_bytes(w, w.buf)).toEqual(w.plain);
  });
  test("what the host changed is refused with EINVAL", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    copy_to_user(w.guest, w.buf, new Uint8Array([1, 2, 3]))._unsafeUnwrap();
    expect(secure(w.guest, w.buf)).toBe("EINVAL");
  });
  test("it goes to swap encrypted, and comes back", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    madvise(w.guest, w.buf, 4096, MADV_PAGEOUT)._unsafeUnwrap();
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1 });
    expect(secure(w.guest, w.buf)).toBe("ok");
    expect(raw_bytes(w, w.buf)).toEqual(w.plain);
  });
  test("the kernel's own access self-heals too", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    const bytes = new Uint8Array(4096);
    memcpy_from_page(bytes, page, 0)._unsafeUnwrap();
    put_page(page);
    expect(bytes).not.toEqual(w.plain);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, faults: 1 });
  });
  test("only devices are hurt: a transfer ends with EIO, an access exception is logged, and the page stays as it is", () => {
    using w = make_world();
    secure(w.guest, w.buf);
    const page = lookup(w.guest, w.buf);
    for (const op of ["REQ_OP_WRITE", "REQ_OP_READ"] as const) {
      const bio = bio_alloc(w.disk, 1, op);
      bio_add_page(bio, page, 4096, 0);
      expect(submit_bio_wait(bio, w.guest)?.errno).toBe("EIO");
      bio_put(bio);
    }
    put_page(page);
    expect(raw_bytes(w, w.buf)).toEqual(w.plain);
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 1, access_exceptions: 2 });
    expect(dmesg(w.machine).at(-1)).toMatch(
      /^machine check: access exception: a device .* page at 0x[0-9a-f]+ \(pfn \d+\)$/,
    );
  });
  test("whoever cannot export it gets no access: EFAULT for a program, a bug for the kernel", () => {
    using w = make_world((call) => (call === "convert from secure" ? "error" : null));
    secure(w.guest, w.buf);
    expect(copy_from_user(w.guest, new Uint8Array(8), w.buf)._unsafeUnwrapErr().errno).toBe(
      "EFAULT",
    );
    expect(dmesg(w.machine)).toEqual([]);
    const page = lookup(w.guest, w.buf);
    expect(() => memcpy_from_page(new Uint8Array(8), page, 0)).toThrow("inaccessible-page");
    expect(dmesg(w.machine).at(-1)).toMatch(/^kernel BUG: page at .* cannot be exported$/);
    put_page(page);
  });
  test("an entry that goes exports it: its next owner finds nothing of the guest", () => {
    using w = make_world();
    const pfn = pfn_at(w.guest, w.buf);
    secure(w.guest, w.buf);
    munmap(w.guest, w.buf, 4096)._unsafeUnwrap();
    expect(uv_stat(w.machine)).toMatchObject({ secure_pages: 0, exports: 1 });
    expect(page_flags[pfn]! & 0b111).toBe(0);
    expect(shutdown(w.machine)).toEqual({ leaks: [], lost_pages: 0 });
  });
});

test("a guest that exits leaves nothing", () => {
  const machine = boot({ mem: 4 << 20 });
  setup_uv(machine);
  const guest = create_task(machine);
  const buf = map_anon(guest, 16 * 4096);
  for (let i = 0; i < 16; i++) expect(secure(guest, at(buf, i))).toBe("ok");
  expect(uv_stat(machine).secure_pages).toBe(16);
  expect(shutdown(machine)).toEqual({ leaks: [], lost_pages: 0 });
});
