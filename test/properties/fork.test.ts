/** Whatever parents, children and devices do: each sees its own bytes, a pin stays with who took it, and all comes back. */
import fc from "fast-check";
import * as api from "user-page";
import { PAGE_SIZE } from "user-page";
import { expect, test } from "vitest";
import { nr_swap_slots } from "../../src/mm/swapfile.js";
import { address, Family, MAX_TASKS, PAGES, type Person } from "./fork_world.js";

type Step = (f: Family, who: Person, page: number, n: number) => void;
const STEPS: Readonly<Record<string, Step>> = {
  store: (f, who, page, n) => {
    const byte = n & 255;
    if (api.copy_to_user(who.task, address(page), new Uint8Array([byte])).isOk()) {
      who.sees[page] = byte;
    }
  },
  look: (f, who, page) => f.look(who, page),
  pin_to_write: (f, who, page, n) => f.pinned(who, page, "dest", n % 2 === 0),
  pin_to_read: (f, who, page, n) => f.pinned(who, page, "source", n % 2 === 0),
  get: (f, who, page, n) => f.referenced(who, page, n % 2 === 0),
  release: (f, _, __, n) => f.grips.splice(n % (f.grips.length || 1), 1)[0]?.release(),
  dma: (f, _, __, n) => {
    const grip = f.grips[n % (f.grips.length || 1)];
    if (!grip?.write) return;
    grip.store(n & 255);
    f.stored(grip.pfn, n & 255);
  },
  fork: (f, who) => {
    if (f.people.length >= MAX_TASKS) return;
    const child = api.fork(who.task);
    if (!api.IS_ERR(child)) f.add(child, [...who.sees]);
  },
  exit: (f, who) => {
    if (f.people.length > 1) f.leave(who);
  },
  discard: (f, who, page) => {
    api.madvise(who.task, address(page), PAGE_SIZE, api.MADV_DONTNEED)._unsafeUnwrap();
    who.sees[page] = 0;
    f.detach(who, page);
  },
  pageout: (_, who, page, n) => {
    const huge = page >= PAGES / 2 && n % 2 === 0;
    const [at, len] = huge ? [address(PAGES / 2), 2 << 20] : [address(page), PAGE_SIZE];
    api.madvise(who.task, at, len, api.MADV_PAGEOUT)._unsafeUnwrap();
  },
  protect: (_, who, page, n) => {
    const prot = n % 2 === 0 ? api.PROT_READ : api.PROT_NONE;
    api.mprotect(who.task, address(page), PAGE_SIZE, prot)._unsafeUnwrap();
    api.mprotect(who.task, address(page), PAGE_SIZE, 3)._unsafeUnwrap();
  },
  merge: (f, who, page, n) => {
    const other = f.people[n % f.people.length]!;
    api.try_to_merge_one_page(who.task, address(page), other.task, address(n % PAGES));
  },
  split: (f, who, page) => f.split(who, page),
};
const arg = fc.nat(65535);
const program = fc.array(
  fc.record({
    step: fc.constantFrom(...Object.keys(STEPS)),
    who: arg,
    page: fc.nat(PAGES - 1),
    n: arg,
  }),
  { minLength: 1, maxLength: 60, size: "max" },
);

test("bytes, counts and pins of parents and children after every step, and nothing left at the end", () => {
  const slots = nr_swap_slots();
  const done = new Map<string, number>();
  fc.assert(
    fc.property(program, fc.constantFrom("", "16K:always"), (ops, thp_anon) => {
      const family = new Family(thp_anon);
      try {
        for (const { step, who, page, n } of ops) {
          STEPS[step]!(family, family.people[who % family.people.length]!, page, n);
          family.check();
          done.set(step, (done.get(step) ?? 0) + 1);
        }
        const left = family.end();
        expect(left).toEqual({ pages: 0, pins: 0, log: [], leaks: 0, lost: 0 });
        expect(nr_swap_slots()).toBe(slots);
      } finally {
        family.machine[Symbol.dispose]();
      }
    }),
    { numRuns: 150 },
  );
  expect([...done.keys()].sort()).toEqual(Object.keys(STEPS).sort());
}, 120_000);
