/** Zero-copy send: the card sends the program's own bytes, fragments follow folios, and the count of what was joined. */
import {
  create_task,
  exit_task,
  iov_iter_init,
  iov_iter_ubuf,
  ITER_SOURCE,
  madvise,
  MADV_HUGEPAGE,
  munmap,
  PAGE_SIZE,
  PMD_SIZE,
  run_softirqs,
  shutdown,
  user_ptr_add,
  type IovIter,
  type Task,
  type UserAddr,
} from "user-page";
import { describe, expect, test } from "vitest";
import * as converted from "../../call-sites/skb_zerocopy/converted.js";
import * as legacy from "../../call-sites/skb_zerocopy/legacy.js";
import { head_of } from "../../src/mm/page_ref.js";
import { boot_for_test, counts, debug_mode, fill_pattern, map_anon } from "../fixtures.js";
import {
  bytes_in,
  dma_read,
  errno_name,
  extents,
  interrupt,
  left_over,
  misuse_of,
  NOTHING,
} from "./device.js";

function bench() {
  const machine = boot_for_test();
  const current = create_task(machine);
  const addr = map_anon(current, PMD_SIZE);
  madvise(current, addr, PMD_SIZE, MADV_HUGEPAGE)._unsafeUnwrap();
  const pattern = fill_pattern(current, addr, PMD_SIZE);
  return { machine, current, addr, pattern };
}
/** 40 pages of one folio each, none of them beside the next. */
function scattered(current: Task): [addr: UserAddr, pattern: Uint8Array] {
  const addr = map_anon(current, 80 * PAGE_SIZE);
  const spare = map_anon(current, 80 * PAGE_SIZE);
  const pattern = new Uint8Array(40 * PAGE_SIZE);
  for (let i = 0; i < 40; i++) {
    pattern.set(
      fill_pattern(current, user_ptr_add(addr, i * PAGE_SIZE), PAGE_SIZE, i + 1),
      i * PAGE_SIZE,
    );
    fill_pattern(current, user_ptr_add(spare, i * PAGE_SIZE), PAGE_SIZE);
  }
  return [addr, pattern];
}

describe.each([
  ["legacy", legacy],
  ["converted", converted],
] as const)("%s", (name, net) => {
  const form = net as typeof converted;
  const send = (from: IovIter<"source", "user">, current: Task, uarg = () => undefined) => {
    const skb = form.alloc_skb(uarg);
    return { skb, got: form.zerocopy_fill_skb_from_iter(skb, from, from.count, current) };
  };

  test("a packet of a huge page: one fragment, one reference, sent in a softirq", () => {
    const { machine, current, addr, pattern } = bench();
    const events: string[] = [];
    const from = iov_iter_ubuf(ITER_SOURCE, user_ptr_add(addr, 5000), 12 * PAGE_SIZE);
    const { skb, got } = send(from, current, () => void events.push("yours again"));
    expect(got).toBe(12 * PAGE_SIZE);
    const wire = form.skb_dma(skb);
    expect(wire.length).toBe(1);
    const head = head_of(wire[0]!.pfn);
    expect(counts(head)).toEqual(name === "legacy" ? [2, 0] : [2, 1]);
    expect(extents(machine)).toEqual(name === "legacy" ? [0, 0] : [1, 0]);
    interrupt(machine, () => {
      const sent = dma_read(machine, wire);
      expect(Buffer.compare(sent, pattern.subarray(5000, 5000 + 12 * PAGE_SIZE))).toBe(0);
      form.consume_skb(skb);
      events.push("consumed");
    });
    expect(events).toEqual([]);
    run_softirqs(machine);
    expect(events).toEqual(["yours again", "consumed"]);
    expect(counts(head)).toEqual([1, 0]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("more folios than a packet has room for: what did not fit goes with the next", () => {
    const { machine, current } = bench();
    const [addr, pattern] = scattered(current);
    const from = iov_iter_ubuf(ITER_SOURCE, addr, 40 * PAGE_SIZE);
    const sent: Uint8Array[] = [];
    while (from.count > 0) {
      const { skb, got } = send(from, current);
      expect(got).toBe(skb.len);
      sent.push(dma_read(machine, form.skb_dma(skb)));
      expect(form.skb_dma(skb).length).toBeLessThanOrEqual(form.MAX_SKB_FRAGS);
      form.consume_skb(skb);
    }
    expect(Buffer.compare(Buffer.concat(sent), pattern)).toBe(0);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a clone: the last of the two gives the memory back", () => {
    const { machine, current, addr } = bench();
    const told: number[] = [];
    const from = iov_iter_ubuf(ITER_SOURCE, addr, 3 * PAGE_SIZE);
    const { skb } = send(from, current, () => void told.push(1));
    const other = form.skb_clone(skb)!;
    const wire = form.skb_dma(other);
    form.consume_skb(skb);
    expect(told).toEqual([]);
    expect(counts(head_of(wire[0]!.pfn))[0]).toBe(2);
    form.consume_skb(other);
    expect(told).toEqual([1]);
    expect(counts(head_of(wire[0]!.pfn))).toEqual([1, 0]);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("the program exits while the packet waits: its bytes stay until they are sent", () => {
    const { machine, current, addr, pattern } = bench();
    const { skb } = send(iov_iter_ubuf(ITER_SOURCE, addr, 100 * PAGE_SIZE), current);
    exit_task(current);
    const sent = dma_read(machine, form.skb_dma(skb));
    expect(Buffer.compare(sent, pattern.subarray(0, 100 * PAGE_SIZE))).toBe(0);
    form.consume_skb(skb);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("a hole: an error or fewer bytes, the iterator stands behind what was taken", () => {
    const { machine, current, addr, pattern } = bench();
    munmap(current, user_ptr_add(addr, 4 * PAGE_SIZE), PAGE_SIZE)._unsafeUnwrap();
    const from = iov_iter_ubuf(ITER_SOURCE, addr, 8 * PAGE_SIZE);
    const { skb, got } = send(from, current);
    // By pages what lies before the hole; extents are all or nothing.
    const before = name === "legacy" ? 4 * PAGE_SIZE : 0;
    expect(errno_name(got) ?? got).toBe(before > 0 ? before : "EFAULT");
    expect(from.count).toBe(8 * PAGE_SIZE - before);
    const wire = form.skb_dma(skb);
    expect(dma_read(machine, wire)).toEqual(pattern.slice(0, before));
    form.skb_unfill(skb, from, before);
    expect(from.count).toBe(8 * PAGE_SIZE);
    expect(left_over(machine)).toEqual(NOTHING);
  });
  test("several ranges: fragments are joined over their borders only where memory is", () => {
    const { machine, current, addr, pattern } = bench();
    const iov = [
      { iov_base: addr, iov_len: 1000 },
      { iov_base: user_ptr_add(addr, 1000), iov_len: 3096 },
      { iov_base: user_ptr_add(addr, 9000), iov_len: 500 },
    ];
    const { skb, got } = send(iov_iter_init(ITER_SOURCE, iov), current);
    expect(got).toBe(4596);
    const wire = form.skb_dma(skb);
    expect(bytes_in(wire)).toBe(4596);
    expect(wire.length).toBe(name === "legacy" ? 2 : 3);
    const expected = Buffer.concat([pattern.subarray(0, 4096), pattern.subarray(9000, 9500)]);
    expect(Buffer.compare(dma_read(machine, wire), expected)).toBe(0);
    form.consume_skb(skb);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});

describe("the hazards", () => {
  function sent(hazard: legacy.Hazard, pages: number) {
    const b = bench();
    const skb = legacy.alloc_skb(() => undefined);
    const from = iov_iter_ubuf(ITER_SOURCE, b.addr, pages * PAGE_SIZE);
    let pfn = 0;
    const found = misuse_of(() => {
      legacy.zerocopy_fill_skb_from_iter(skb, from, from.count, b.current, hazard);
      pfn = legacy.skb_dma(skb)[0]!.pfn;
      legacy.consume_skb(skb);
    });
    return { ...b, found, pfn };
  }
  test("what was joined keeps its reference: a whole huge page is lost for 4 KiB", () => {
    const { machine, found } = sent("surplus kept", 12);
    expect(found).toBeNull();
    const { leaks, lost_pages } = shutdown(machine);
    expect(lost_pages).toBe(512);
    expect(leaks.length).toBe(debug_mode ? 11 : 0);
  });
  test("the surplus is dropped once more: the program's memory is free when the packet was sent", () => {
    const { found, pfn } = sent("surplus dropped twice", 2);
    expect(found).toBe(debug_mode ? "release-lent" : null);
    if (!debug_mode) expect(counts(head_of(pfn))).toEqual([0, 0]);
  });
  test("two packets that do not know of each other: the second put frees the program's page", () => {
    const { current, addr } = bench();
    const skb = legacy.alloc_skb(() => undefined);
    const from = iov_iter_ubuf(ITER_SOURCE, addr, PAGE_SIZE);
    legacy.zerocopy_fill_skb_from_iter(skb, from, PAGE_SIZE, current);
    const clone = legacy.skb_clone(skb, "clone not counted");
    const { pfn } = legacy.skb_dma(skb)[0]!;
    legacy.consume_skb(skb);
    // The clone looks at the same count, which is gone: C frees again.
    clone.shinfo.dataref = 1;
    expect(misuse_of(() => legacy.consume_skb(clone))).toBe(debug_mode ? "double-release" : null);
    if (!debug_mode) expect(counts(head_of(pfn))[0]).toBe(0);
  });
  test("converted: a packet that was consumed has nothing to give back", () => {
    const { machine, current, addr } = bench();
    const skb = converted.alloc_skb(() => undefined);
    const from = iov_iter_ubuf(ITER_SOURCE, addr, PAGE_SIZE);
    converted.zerocopy_fill_skb_from_iter(skb, from, PAGE_SIZE, current);
    const clone = converted.skb_clone(skb)!;
    converted.consume_skb(skb);
    converted.consume_skb(skb);
    expect(clone.len).toBe(PAGE_SIZE);
    converted.consume_skb(clone);
    expect(left_over(machine)).toEqual(NOTHING);
  });
});
