/** The views of /proc: what they say is what the API and the page tables say, and looking changes nothing. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE as P, PMD_SIZE } from "user-page";
import { describe, expect, test } from "vitest";
import { page_tables } from "../../src/machine/arena.js";
import { machine_state } from "../../src/machine/machine.js";
import { mm_state } from "../../src/mm/mm_types.js";
import { head_of, is_zero_pfn, order_of, pin_count, ref_count } from "../../src/mm/page_ref.js";
import {
  boot_for_test,
  changes,
  debug_mode,
  forced,
  map_anon,
  must,
  snapshot,
} from "../fixtures.js";
import { program, run, type Watch } from "../properties/program.js";
import type { World } from "../properties/world.js";

const RW = api.PROT_READ | api.PROT_WRITE;

// --- reading them -------------------------------------------------------------------------------------------
const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
/** What stands behind each page frame number. */
function by_pfn(text: string): Map<number, string> {
  const pages = new Map<number, string>();
  for (const line of lines(text).slice(1)) {
    const [, first, last, rest] = /^(\d+)(?:-(\d+))? +(.*)$/.exec(line)!;
    for (let pfn = Number(first); pfn <= Number(last ?? first); pfn++) pages.set(pfn, rest!);
  }
  return pages;
}
/** Numbers by their names, of lines such as "Name:  12 kB". */
function numbers(text: string): Map<string, number> {
  return new Map(
    [...text.matchAll(/^(\w+):? +(\d+)/gm)].map(([, name, value]) => [name!, Number(value)]),
  );
}
interface Entry {
  readonly pfn: number;
  readonly bits: string;
}
function by_address(text: string): Map<number, Entry> {
  const entries = new Map<number, Entry>();
  for (const line of lines(text)) {
    const [, start, end, first, bits] = /^(\w+)-(\w+) pfn (\d+|-)(?:-\d+)? (\S+)$/.exec(line)!;
    for (let at = parseInt(start!, 16), i = 0; at < parseInt(end!, 16); at += P, i++) {
      entries.set(at, { pfn: first === "-" ? 0 : Number(first) + i, bits: bits! });
    }
  }
  return entries;
}
/** Each entry of a task's page tables, by address, walked here from the top; 0 for a page that is swapped out. */
function walk(task: api.Task): Map<number, number> {
  const found = new Map<number, number>();
  const below = (table: number, level: number, base: number): void => {
    for (let i = 0; i < 512; i++) {
      const entry = page_tables[table * 512 + i]!;
      const addr = base + i * 2 ** (12 + 9 * level);
      if (entry === 0) continue;
      if (level === 0) found.set(addr, entry < 0 ? 0 : entry >>> 6);
      else if (level > 1 || (entry & 32) === 0) below(entry >>> 6, level - 1, addr);
      else for (let j = 0; j < 512; j++) found.set(addr + j * P, (entry >>> 6) + j);
    }
  };
  below(mm_state(task.mm, "walk()").pgd, 3, 0);
  return found;
}

// --- against everything else that is known ------------------------------------------------------------------
function compare({ machine, state, tasks, holdings }: World): void {
  const before = snapshot(machine);
  const { base, nr_pages } = state;
  const stat = api.vmstat(machine);
  expect(Object.fromEntries(numbers(api.proc_vmstat(machine)))).toEqual({ ...stat });

  const areas = lines(api.proc_buddyinfo(machine)).flatMap((line) =>
    [...line.slice(20).matchAll(/\d+/g)].map(([nr], order) => Number(nr) * 2 ** order),
  );
  expect(areas.reduce((a, b) => a + b, 0)).toBe(stat.nr_free_pages);

  const walks = tasks.map(walk);
  const mapped = new Map<number, number>();
  for (const pfn of walks.flatMap((entries) => [...entries.values()])) {
    mapped.set(pfn, (mapped.get(pfn) ?? 0) + 1);
  }
  const huge_zero = state.huge_zero_pfn;
  const is_zero = (pfn: number): boolean =>
    is_zero_pfn(pfn) || (huge_zero !== 0 && head_of(pfn) === huge_zero);
  const counts = by_pfn(api.proc_kpagecount(machine));
  const flags = by_pfn(api.proc_kpageflags(machine));
  const wrong: string[] = [];
  let free = 0;
  for (let pfn = base; pfn < base + nr_pages; pfn++) {
    const [maps, refs, pins] = counts.get(pfn)!.trim().split(/ +/).map(Number);
    const maps_here = is_zero_pfn(pfn) ? 0 : (mapped.get(pfn) ?? 0);
    if (maps !== maps_here) wrong.push(`pfn ${pfn}: ${maps} entries, not ${maps_here}`);
    if (refs !== ref_count(pfn) || pins !== pin_count(pfn))
      wrong.push(`pfn ${pfn}: ${refs} ${pins}`);
    const names = flags.get(pfn)!.split(" ")[1]!.split(",");
    const says = (name: string, is: boolean): void => {
      if (names.includes(name) !== is) wrong.push(`pfn ${pfn}: ${names.join()}, ${name} is ${is}`);
    };
    if (names.includes("buddy")) free++;
    says("buddy", ref_count(pfn) === 0);
    says("mmap", maps_here > 0);
    says("zero_page", is_zero(pfn));
    says("compound_head", order_of(pfn) > 0 && head_of(pfn) === pfn);
    says("compound_tail", order_of(pfn) > 0 && head_of(pfn) !== pfn);
    if (names.includes("anon_exclusive") && !names.includes("anonymous")) wrong.push(`pfn ${pfn}`);
  }
  expect(wrong).toEqual([]);
  expect(free).toBe(stat.nr_free_pages);

  tasks.forEach((task, i) => {
    const entries = by_address(api.proc_pagemap(task));
    expect(new Map([...entries].map(([at, { pfn }]) => [at, pfn]))).toEqual(walks[i]);
    for (const { pfn, bits } of entries.values()) {
      if (pfn === 0) expect(bits).toBe("swapped");
      else if (is_zero(pfn)) expect(bits).toBe("present");
      else expect(bits.includes("exclusive")).toBe(mapped.get(pfn) === 1);
    }
    const rss = [...entries.values()].filter(({ pfn }) => pfn !== 0 && !is_zero(pfn)).length;
    const sum = [...api.proc_smaps(task).matchAll(/^Rss: +(\d+) kB$/gm)];
    expect(sum.reduce((kb, [, n]) => kb + Number(n), 0)).toBe(rss * 4);
    const status = numbers(api.proc_status(task));
    const kb = (name: string): number => status.get(name)!;
    expect(kb("VmRSS")).toBe(rss * 4);
    expect(kb("RssAnon") + kb("RssFile") + kb("RssShmem")).toBe(rss * 4);
    const swapped = [...entries.values()].filter(({ pfn }) => pfn === 0).length;
    expect(kb("VmSwap")).toBe(swapped * 4);
  });
  const memory = numbers(api.proc_meminfo(machine));
  expect(memory.get("MemFree")).toBe(stat.nr_free_pages * 4);
  expect(memory.get("MemTotal")).toBe(nr_pages * 4);

  if (debug_mode) {
    const owned = api.proc_page_owner(machine);
    const held = holdings.flatMap(({ plain, pins }) => [...plain, ...pins]);
    expect([...owned.matchAll(/, acquisition \d+, by /g)]).toHaveLength(held.length);
  }
  expect(changes(before, snapshot(machine))).toEqual([]);
}
test("after every step of a program all views agree with the counts and the page tables", () => {
  const watch: Watch = (world) => {
    compare(world);
    let n = 0;
    return () => {
      if (n++ % 8 === 0) compare(world);
    };
  };
  fc.assert(
    fc.property(program, (ops) => {
      const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_mode ? ("owners" as const) : false;
      run({ mem: 16 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES }, ops, watch);
    }),
    { numRuns: 5 },
  );
}, 240_000);

// --- what they look like ------------------------------------------------------------------------------------
/** The part of a text from the line that begins with this address. */
const of_mapping = (smaps: string, addr: number): Map<string, number> => {
  const from = smaps.indexOf(`${addr.toString(16)}-`);
  return numbers(smaps.slice(from, smaps.indexOf("VmFlags", from)));
};
describe("mappings", () => {
  test("maps has a line for each, as the kernel writes it", () => {
    using machine = boot_for_test({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const at = 0x10000;
    const fixed = api.MAP_PRIVATE | api.MAP_ANONYMOUS | api.MAP_FIXED;
    api.mmap(current, api.u64_to_user_ptr(at), 2 * P, RW, fixed)._unsafeUnwrap();
    const next = api.u64_to_user_ptr(at + 2 * P);
    api.mmap(current, next, P, api.PROT_READ | api.PROT_EXEC, fixed)._unsafeUnwrap();
    using memfd = must(api.memfd_create(current, 4 * P));
    const shared = api.u64_to_user_ptr(0x7f0000000000);
    const flags = api.MAP_SHARED | api.MAP_FIXED;
    api.mmap(current, shared, P, RW, flags, memfd, P)._unsafeUnwrap();
    expect(api.proc_maps(current)).toBe(
      [
        "00010000-00012000 rw-p 00000000 00:00 0 ",
        "00012000-00013000 r-xp 00000000 00:00 0 ",
        `${"7f0000000000-7f0000001000 rw-s 00001000 00:00 0 ".padEnd(73)}/memfd: (deleted)`,
        "",
      ].join("\n"),
    );
  });
  test("a file has its name", () => {
    using machine = boot_for_test({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const disk = must(api.brd_alloc(machine, 1 << 20));
    if (api.mkfs_cowfs(current, disk)) throw new Error("no file system");
    using fs = must(api.mount_cowfs(current, disk));
    using file = must(api.filp_open(current, fs, "database", api.O_CREAT));
    api.kernel_write(current, file, new Uint8Array(2 * P).fill(1), 0)._unsafeUnwrap();
    const addr = api.mmap(current, null, 2 * P, RW, api.MAP_SHARED, file)._unsafeUnwrap();
    api.copy_to_user(current, addr, new Uint8Array(1))._unsafeUnwrap();
    expect(api.proc_maps(current)).toMatch(/ \/database\n$/);
    const smap = of_mapping(api.proc_smaps(current), addr);
    expect(smap.get("Private_Dirty")).toBe(4);
    expect(smap.get("Anonymous")).toBe(0);
    expect(api.proc_pagemap(current)).toMatch(/ present,file,exclusive\n$/);
    const memory = numbers(api.proc_meminfo(machine));
    expect([memory.get("Cached"), memory.get("Mapped"), memory.get("Dirty")]).toEqual([8, 4, 8]);
  });
  test("smaps tells shared from private, huge from small, and what is swapped out", () => {
    using machine = boot_for_test({ mem: 16 << 20 });
    const current = api.create_task(machine);
    const huge = map_anon(current, PMD_SIZE);
    api.madvise(current, huge, PMD_SIZE, api.MADV_HUGEPAGE)._unsafeUnwrap();
    const small = map_anon(current, 4 * P);
    for (const [addr, bytes] of [[huge, 1] as const, [small, 3 * P] as const]) {
      api.copy_to_user(current, addr, new Uint8Array(bytes).fill(1))._unsafeUnwrap();
    }
    api.madvise(current, small, P, api.MADV_PAGEOUT)._unsafeUnwrap();
    const of_small = (): Map<string, number> => of_mapping(api.proc_smaps(current), small);
    const of_huge = of_mapping(api.proc_smaps(current), huge);
    for (const name of ["Size", "Rss", "Pss", "Private_Dirty", "Anonymous", "AnonHugePages"]) {
      expect([name, of_huge.get(name)]).toEqual([name, 2048]);
    }
    expect([...of_small()]).toEqual([
      ...[["Size", 16] as const, ["Rss", 8] as const, ["Pss", 8] as const],
      ...[["Shared_Clean", 0] as const, ["Shared_Dirty", 0] as const],
      ...[["Private_Clean", 0] as const, ["Private_Dirty", 8] as const],
      ...[["Anonymous", 8] as const, ["KSM", 0] as const, ["AnonHugePages", 0] as const],
      ...[["ShmemPmdMapped", 0] as const, ["Swap", 4] as const],
    ]);
    expect(api.proc_pagemap(current)).toContain(
      `${small.toString(16)}-${(small + P).toString(16)} pfn - swapped\n`,
    );
    expect(numbers(api.proc_meminfo(machine)).get("AnonHugePages")).toBe(2048);
    using child = must(api.fork(current));
    const shared = of_small();
    expect(["Rss", "Pss", "Shared_Dirty", "Private_Dirty"].map((n) => shared.get(n))).toEqual([
      ...[8, 4, 8, 0],
    ]);
    expect(api.proc_pagemap(child)).not.toContain("exclusive");
  });
  test("status has what drivers charged, and the kinds of pages", () => {
    using machine = boot_for_test({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const buf = map_anon(current, 4 * P);
    using memfd = must(api.memfd_create(current, 2 * P));
    const shared = api.mmap(current, null, 2 * P, RW, api.MAP_SHARED, memfd)._unsafeUnwrap();
    for (const addr of [buf, shared]) api.copy_to_user(current, addr, new Uint8Array(P));
    api.account_locked_vm(current.mm, 3, true, current)._unsafeUnwrap();
    must(api.account_pinned_vm(current, 2));
    expect([...numbers(api.proc_status(current))]).toEqual([
      ...[["VmSize", 24] as const, ["VmLck", 12] as const, ["VmPin", 8] as const],
      ...[["VmRSS", 8] as const, ["RssAnon", 4] as const, ["RssFile", 0] as const],
      ...[["RssShmem", 4] as const, ["VmSwap", 0] as const],
    ]);
  });
  test("a pin changes the references of a page, and nothing of its mapping", () => {
    using machine = boot_for_test({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const buf = map_anon(current, P);
    api.copy_to_user(current, buf, new Uint8Array(1))._unsafeUnwrap();
    const [maps, smaps] = [api.proc_pagemap(current), api.proc_smaps(current)];
    const pin = must(api.get_user_page(current, buf, api.ITER_DEST));
    const pfn = api.page_to_pfn(pin);
    expect([api.proc_pagemap(current), api.proc_smaps(current)]).toEqual([maps, smaps]);
    expect(by_pfn(api.proc_kpagecount(machine)).get(pfn)!.trim()).toBe("1     1025        0");
    expect(by_pfn(api.proc_kpageflags(machine)).get(pfn)).toBe(
      "0x0000000400005800 mmap,anonymous,swapbacked,anon_exclusive",
    );
    api.put_user_page(pin);
  });
});
describe("memory", () => {
  test("free blocks by order: a machine of 16 MiB that gave away one page", () => {
    using machine = boot_for_test({ mem: 16 << 20 });
    expect(api.proc_buddyinfo(machine)).toBe(
      `Node 0, zone   Normal ${[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3].map((n) => `${String(n).padStart(6)} `).join("")}\n`,
    );
  });
  test("ZONE_MOVABLE has a line, the CMA area is part of Normal", () => {
    using machine = boot_for_test({ mem: 16 << 20, movable: 4 << 20, cma: 4 << 20 });
    const zones = lines(api.proc_buddyinfo(machine)).map((line) => line.slice(0, 21));
    expect(zones).toEqual(["Node 0, zone   Normal", "Node 0, zone  Movable"]);
    const memory = numbers(api.proc_meminfo(machine));
    expect([memory.get("CmaTotal"), memory.get("CmaFree")]).toEqual([4096, 4096]);
    const current = api.create_task(machine);
    using cma = must(api.cma_alloc(current, 16));
    void cma;
    expect(numbers(api.proc_meminfo(machine)).get("CmaFree")).toBe(4096 - 64);
  });
  test("a page that was lost is neither free nor anybody's", () => {
    using machine = api.boot({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const folio = must(api.folio_alloc(current, 1));
    const pfn = api.page_to_pfn(api.folio_page(folio, 0));
    api.folio_add_pin(folio);
    for (const put of [1, 2]) forced(api.folio_put)(folio, put);
    const flags = by_pfn(api.proc_kpageflags(machine)).get(pfn)!;
    expect(flags).not.toContain("buddy");
    expect(api.vmstat(machine).nr_bad_pages).toBe(2);
  });
  test("a folio below 2 MiB is compound, and mapped by entries of its pages", () => {
    using machine = boot_for_test({ mem: 8 << 20, thp_anon: "64K:always" });
    const current = api.create_task(machine);
    const buf = map_anon(current, 16 * P);
    api.copy_to_user(current, buf, new Uint8Array(1))._unsafeUnwrap();
    const flags = [...by_pfn(api.proc_kpageflags(machine)).values()];
    const anon = "mmap,anonymous,swapbacked";
    const heads = flags.filter((f) => f.endsWith(`${anon},compound_head,thp,anon_exclusive`));
    const tails = flags.filter((f) => f.endsWith(`${anon},compound_tail,thp,anon_exclusive`));
    expect([heads.length, tails.length]).toEqual([1, 15]);
    const smap = of_mapping(api.proc_smaps(current), buf);
    expect([smap.get("Rss"), smap.get("AnonHugePages")]).toEqual([64, 0]);
    expect(lines(api.proc_pagemap(current))).toHaveLength(1);
  });
  test("merged pages have their flag", () => {
    using machine = boot_for_test({ mem: 8 << 20 });
    const current = api.create_task(machine);
    const [a, b] = [map_anon(current, P), map_anon(current, P)];
    for (const addr of [a, b]) api.copy_to_user(current, addr, new Uint8Array(P).fill(7));
    api.try_to_merge_one_page(current, a, current, b)._unsafeUnwrap();
    expect(api.proc_kpageflags(machine)).toMatch(/ mmap,anonymous,swapbacked,ksm\n/);
    expect(of_mapping(api.proc_smaps(current), a).get("KSM")).toBe(4);
  });
});
describe("page_owner", () => {
  test("tells each reference, by page", () => {
    using machine = api.boot({ mem: 8 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: true });
    const current = api.create_task(machine);
    const buf = map_anon(current, P);
    const pins = [0, 1].map(() => must(api.get_user_page(current, buf, api.ITER_DEST)));
    const pfn = api.page_to_pfn(pins[0]!);
    const text = api.proc_page_owner(machine);
    expect(text).toMatch(/^PFN \d+, order 0, refcount 2049\n/);
    expect(Number(/^PFN (\d+)/.exec(text)![1])).toBe(pfn);
    expect([...text.matchAll(/^ pinned user page, .* at test\/fs\/proc\.test\.ts/gm)]).toHaveLength(
      2,
    );
    for (const pin of pins) api.put_user_page(pin);
    expect(api.proc_page_owner(machine)).toBe("");
  });
  test.each([false, "tags"] as const)("is refused with debug mode %s", (level) => {
    using machine = api.boot({ mem: 8 << 20, CONFIG_DEBUG_USER_PAGE_REFERENCES: level });
    expect(() => api.proc_page_owner(machine)).toThrow(RangeError);
    expect(machine_state(machine).alive).toBe(true);
  });
});
