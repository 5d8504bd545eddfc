/** RLIMIT_MEMLOCK: four conventions, which count different things and do not know of each other. */
import * as fc from "fast-check";
import * as api from "user-page";
import { describe, expect, test } from "vitest";
import { errno_of, fill_pattern, forced, map_anon, must } from "../fixtures.js";
import { PAGE, world, type World } from "./longterm_world.js";

function limit(w: World, pages: number): void {
  api.setrlimit(w.current, api.RLIMIT_MEMLOCK, pages * PAGE)._unsafeUnwrap();
}
const charged = (w: World, task = w.current): number[] => {
  const { locked_vm, pinned_vm, user_locked_vm } = api.locked_memory(task);
  return [locked_vm, pinned_vm, user_locked_vm];
};

describe("account_locked_vm()", () => {
  test("charges the address space up to the limit of who calls, and takes back", () => {
    using w = world();
    limit(w, 10);
    const { mm } = w.current;
    expect(api.account_locked_vm(mm, 10, true, w.current).isOk()).toBe(true);
    expect(api.account_locked_vm(mm, 1, true, w.current)._unsafeUnwrapErr().errno).toBe("ENOMEM");
    expect(charged(w)).toEqual([10, 0, 0]);
    api.account_locked_vm(mm, 4, false, w.current)._unsafeUnwrap();
    expect(charged(w)).toEqual([6, 0, 0]);
    // The limit is that of the caller, not of whose memory it is.
    const other = api.create_task(w.machine);
    api.setrlimit(other, api.RLIMIT_MEMLOCK, 7 * PAGE)._unsafeUnwrap();
    expect(api.account_locked_vm(mm, 2, true, other).isErr()).toBe(true);
    expect(api.account_locked_vm(mm, 1, true, other).isOk()).toBe(true);
    expect(charged(w, other)).toEqual([0, 0, 0]);
  });
  test("warns when more is taken back than was charged", () => {
    using w = world();
    api.account_locked_vm(w.current.mm, 1, true, w.current)._unsafeUnwrap();
    api.account_locked_vm(w.current.mm, 2, false, w.current)._unsafeUnwrap();
    expect(charged(w)).toEqual([0, 0, 0]);
    expect(api.dmesg(w.machine).join()).toContain("2 pages taken back, 1 were charged");
  });
  test("waits for the lock that its caller holds", () => {
    using w = world();
    using _lock = api.mmap_read_lock(w.current, w.current.mm);
    expect(() => api.account_locked_vm(w.current.mm, 1, true, w.current)).toThrow(/mmap_lock/);
  });
});

describe("the limit", () => {
  test("is 8 MiB unless it is set, and rounded down to pages", () => {
    using w = world();
    expect(errno_of(api.account_pinned_vm(w.current, 2049))).toBe("ENOMEM");
    api.setrlimit(w.current, api.RLIMIT_MEMLOCK, 2 * PAGE - 1)._unsafeUnwrap();
    expect(errno_of(api.account_pinned_vm(w.current, 2))).toBe("ENOMEM");
    api.unaccount_mem(must(api.account_pinned_vm(w.current, 1)));
    api.setrlimit(w.current, api.RLIMIT_MEMLOCK, api.RLIM_INFINITY)._unsafeUnwrap();
    api.unaccount_mem(must(api.account_pinned_vm(w.current, 1 << 30)));
    expect(api.setrlimit(w.current, 7, 1)._unsafeUnwrapErr().errno).toBe("EINVAL");
    expect(api.setrlimit(w.current, 8, -1)._unsafeUnwrapErr().errno).toBe("EINVAL");
    expect(api.capset(w.current, [3])._unsafeUnwrapErr().errno).toBe("EINVAL");
  });
  test("is inherited, as CAP_IPC_LOCK is; a child has its own address space and the same user", () => {
    using w = world();
    limit(w, 4);
    using child = must(api.fork(w.current));
    using mine = must(api.account_pinned_vm(w.current, 4));
    using theirs = must(api.account_pinned_vm(child, 4));
    expect([mine.nr_pages, theirs.nr_pages]).toEqual([4, 4]);
    expect(errno_of(api.account_pinned_vm(child, 1))).toBe("ENOMEM");
    using user = must(api.xdp_umem_account_pages(w.current, 3));
    expect(user.nr_pages).toBe(3);
    expect(errno_of(api.xdp_umem_account_pages(child, 2))).toBe("ENOBUFS");
    api.capset(child, [api.CAP_IPC_LOCK])._unsafeUnwrap();
    using grandchild = must(api.fork(child));
    using free = must(api.xdp_umem_account_pages(grandchild, 1000));
    expect(free.nr_pages).toBe(0);
    api.capset(grandchild, [])._unsafeUnwrap();
    expect(errno_of(api.xdp_umem_account_pages(grandchild, 2))).toBe("ENOBUFS");
  });
});

describe("conventions", () => {
  test("RDMA charges mm->pinned_vm, with CAP_IPC_LOCK too", () => {
    using w = world();
    limit(w, 5);
    {
      using charge = must(api.account_pinned_vm(w.current, 5));
      expect([charge.nr_pages, charged(w)]).toEqual([5, [0, 5, 0]]);
      expect(errno_of(api.account_pinned_vm(w.current, 1))).toBe("ENOMEM");
      expect(charged(w)).toEqual([0, 5, 0]);
      api.capset(w.current, [api.CAP_IPC_LOCK])._unsafeUnwrap();
      using more = must(api.account_pinned_vm(w.current, 100));
      expect([more.nr_pages, charged(w)]).toEqual([100, [0, 105, 0]]);
    }
    expect(charged(w)).toEqual([0, 0, 0]);
  });
  test("io_uring charges the user and mm->pinned_vm; with CAP_IPC_LOCK not the user", () => {
    using w = world();
    limit(w, 5);
    {
      using charge = must(api.io_account_mem(w.current, 5));
      expect([charge.nr_pages, charged(w)]).toEqual([5, [0, 5, 5]]);
      expect(errno_of(api.io_account_mem(w.current, 1))).toBe("ENOMEM");
      expect(charged(w)).toEqual([0, 5, 5]);
      api.capset(w.current, [api.CAP_IPC_LOCK])._unsafeUnwrap();
      using more = must(api.io_account_mem(w.current, 100));
      expect([more.nr_pages, charged(w)]).toEqual([0, [0, 105, 5]]);
      // What was charged is what is taken back, whatever the task may do by then.
      api.capset(w.current, [])._unsafeUnwrap();
    }
    expect(charged(w)).toEqual([0, 0, 0]);
  });
  test("AF_XDP charges the user, and says ENOBUFS", () => {
    using w = world();
    limit(w, 5);
    using charge = must(api.xdp_umem_account_pages(w.current, 4));
    expect([charge.nr_pages, charged(w)]).toEqual([4, [0, 0, 4]]);
    expect(errno_of(api.xdp_umem_account_pages(w.current, 2))).toBe("ENOBUFS");
    // The user is one for all tasks and both drivers.
    expect(errno_of(api.io_account_mem(w.current, 2))).toBe("ENOMEM");
  });
  test("what two drivers pin is charged twice", () => {
    using w = world();
    limit(w, 64);
    using _umem = must(api.account_pinned_vm(w.current, 40));
    using _ring = must(api.io_account_mem(w.current, 40));
    api.account_locked_vm(w.current.mm, 40, true, w.current)._unsafeUnwrap();
    expect(charged(w)).toEqual([40, 80, 40]);
    expect(errno_of(api.account_pinned_vm(w.current, 1))).toBe("ENOMEM");
  });
  test("a charge is taken back once, after the task and after the machine", () => {
    const w = world();
    const task = api.create_task(w.machine);
    const charge = must(api.io_account_mem(task, 3));
    const lost = must(api.io_account_mem(w.current, 3));
    api.exit_task(task);
    expect(charged(w)).toEqual([0, 3, 6]);
    api.unaccount_mem(charge);
    api.unaccount_mem(charge);
    expect(charged(w)).toEqual([0, 3, 3]);
    api.shutdown(w.machine);
    api.unaccount_mem(lost);
    expect(() => forced(api.unaccount_mem)({})).toThrow(api.MisuseError);
  });
});

describe("io_buffer_account_pin()", () => {
  const pin = (w: World, buf: api.UserAddr, nr: number) =>
    must(api.all_or_none(api.pin_user_pages_fast(w.current, buf, nr, "dest", api.FOLL_LONGTERM)));
  const huge = (w: World, bytes: number): api.UserAddr => {
    const buf = map_anon(w.current, bytes);
    api.madvise(w.current, buf, bytes, api.MADV_HUGEPAGE)._unsafeUnwrap();
    api.copy_to_user(w.current, buf, new Uint8Array(bytes).fill(1))._unsafeUnwrap();
    return buf;
  };
  test("a huge page is charged whole and once, for a ring and for a buffer", () => {
    using w = world({ mem: 32 << 20 });
    const buf = huge(w, 4 << 20);
    const ring = new Set<number>();
    using some = pin(w, buf, 8);
    using first = must(api.io_buffer_account_pin(w.current, some, ring));
    expect([first.nr_pages, ring.size]).toEqual([512, 1]);
    using all = pin(w, buf, 1024);
    using second = must(api.io_buffer_account_pin(w.current, all, ring));
    expect([second.nr_pages, ring.size]).toEqual([512, 2]);
    using again = must(api.io_buffer_account_pin(w.current, all, ring));
    expect(again.nr_pages).toBe(0);
    // Another ring knows nothing of it.
    using other = must(api.io_buffer_account_pin(w.current, some, new Set()));
    expect(other.nr_pages).toBe(512);
    expect(charged(w)).toEqual([0, 1536, 1536]);
  });
  test("above the limit nothing is charged, and no huge page is taken for charged", () => {
    using w = world({ mem: 32 << 20 });
    limit(w, 511);
    const ring = new Set<number>();
    using some = pin(w, huge(w, 2 << 20), 1);
    expect(errno_of(api.io_buffer_account_pin(w.current, some, ring))).toBe("ENOMEM");
    expect([ring.size, ...charged(w)]).toEqual([0, 0, 0, 0]);
    limit(w, 512);
    using charge = must(api.io_buffer_account_pin(w.current, some, ring));
    expect(charge.nr_pages).toBe(512);
  });
  test("a huge page leaves the ring with its buffer: the next one is charged again", () => {
    using w = world({ mem: 32 << 20 });
    const ring = new Set<number>();
    using pages = pin(w, huge(w, 4 << 20), 1024);
    for (let i = 0; i < 2; i++) {
      const buffer = must(api.io_buffer_account_pin(w.current, pages, ring));
      expect([buffer.nr_pages, ring.size, ...charged(w)]).toEqual([1024, 2, 0, 1024, 1024]);
      api.unaccount_mem(buffer);
      api.unaccount_mem(buffer);
      expect([ring.size, ...charged(w)]).toEqual([0, 0, 0, 0]);
    }
  });
  test("of two buffers in one huge page the first takes the charge along, the second keeps the page", () => {
    using w = world({ mem: 32 << 20 });
    const ring = new Set<number>();
    using pages = pin(w, huge(w, 2 << 20), 4);
    const register = () => must(api.io_buffer_account_pin(w.current, pages, ring));
    const [first, second] = [register(), register()];
    expect([first.nr_pages, second.nr_pages]).toEqual([512, 0]);
    api.unaccount_mem(first);
    expect([ring.size, ...charged(w)]).toEqual([1, 0, 0, 0]);
    const third = register();
    expect(third.nr_pages).toBe(0);
    api.unaccount_mem(second);
    expect(ring.size).toBe(1);
    api.unaccount_mem(third);
    expect(ring.size).toBe(0);
    using again = register();
    expect([again.nr_pages, ...charged(w)]).toEqual([512, 0, 512, 512]);
  });
  test("single pages are charged as often as they are pinned", () => {
    using w = world();
    const buf = map_anon(w.current, 4 * PAGE);
    fill_pattern(w.current, buf, 4 * PAGE);
    const ring = new Set<number>();
    using pages = pin(w, buf, 4);
    using one = must(api.io_buffer_account_pin(w.current, pages, ring));
    using two = must(api.io_buffer_account_pin(w.current, pages, ring));
    expect([one.nr_pages, two.nr_pages, ring.size]).toEqual([4, 4, 0]);
  });
});

test("who is gone, or of another machine, is charged nothing", () => {
  using w = world();
  using other = world();
  const gone = api.create_task(w.machine);
  api.exit_task(gone);
  expect(() => api.io_account_mem(gone, 4)).toThrow(/not-a-handle/);
  using pages = must(
    api.all_or_none(
      api.pin_user_pages_fast(other.current, map_anon(other.current, PAGE), 1, "dest"),
    ),
  );
  expect(() => api.io_buffer_account_pin(w.current, pages, new Set())).toThrow(/two machines/);
  expect([charged(w), charged(other)]).toEqual([
    [0, 0, 0],
    [0, 0, 0],
  ]);
  const holes = Array(1) as number[];
  expect(api.capset(w.current, holes).isErr()).toBe(true);
});
test("random charges: the sums are right, nothing goes over a limit, and all of it comes back", () => {
  const ways = ["pinned", "io", "xdp"] as const;
  const step = fc.tuple(fc.constantFrom(...ways, "drop"), fc.nat(30), fc.boolean());
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      using w = world({ mem: 1 << 20 });
      limit(w, 100);
      const held: Array<{ charge: api.LockedCharge; pinned: number; user: number }> = [];
      const sum = (key: "pinned" | "user"): number => held.reduce((n, one) => n + one[key], 0);
      for (const [what, n, capable] of steps) {
        api.capset(w.current, capable ? [api.CAP_IPC_LOCK] : [])._unsafeUnwrap();
        if (what === "drop") {
          const [gone] = held.splice(n % Math.max(held.length, 1), 1);
          if (gone) api.unaccount_mem(gone.charge);
        } else {
          const before = charged(w);
          const count = what === "pinned" ? sum("pinned") : sum("user");
          const charge =
            what === "pinned"
              ? api.account_pinned_vm(w.current, n)
              : what === "io"
                ? api.io_account_mem(w.current, n)
                : api.xdp_umem_account_pages(w.current, n);
          expect(api.IS_ERR(charge)).toBe(!capable && count + n > 100);
          if (api.IS_ERR(charge)) expect(charged(w)).toEqual(before);
          else {
            const user = what !== "pinned" && !capable ? n : 0;
            held.push({ charge, pinned: what === "xdp" ? 0 : n, user });
          }
        }
        expect(charged(w)).toEqual([0, sum("pinned"), sum("user")]);
      }
      for (const { charge } of held) api.unaccount_mem(charge);
      expect(charged(w)).toEqual([0, 0, 0]);
    }),
    { numRuns: 100 },
  );
});
