/** Random cases of conform:live: what they are, and what the model is told of their files. */
import { describe, expect, it } from "vitest";
import {
  BLOCK,
  memory_of,
  overlaps_of,
  reach_of,
  total_of,
  type LiveCase,
} from "../../conform/live/case.js";
import { allocated_in_more, parse_filefrag, runs_met } from "../../conform/live/extents.js";
import { ALL_CLASSES, generate } from "../../conform/live/generate.js";
import { fs_type_of } from "../../conform/live/host.js";

const LIMITS = { classes: ALL_CLASSES, dma_alignment: 512 };
// --- cases --------------------------------------------------------------------------------------------------------
describe("cases", () => {
  const many = Array.from({ length: 1500 }, (_, i) => generate(5, i, LIMITS));
  it("are the same for the same seed, each by itself, and others for another", () => {
    expect(generate(5, 700, LIMITS)).toEqual(many[700]);
    expect(generate(6, 700, LIMITS)).not.toEqual(many[700]);
  });
  it("are of every class, and can be run", () => {
    expect(new Set(many.map(({ name }) => name))).toEqual(new Set(ALL_CLASSES));
    for (const one of many) {
      const end = Math.max(...one.iovs.map(([offset, len]) => offset + len));
      const fits = end <= memory_of(one) && reach_of(one) <= 32 << 20 && total_of(one) > 0;
      const callable = one.iovs.length <= 1024 && (one.vector || one.iovs.length === 1);
      expect([fits, callable], JSON.stringify(one)).toEqual([true, true]);
    }
  });
  it("reach what they are there for", () => {
    const some = (name: string, holds: (one: LiveCase) => boolean): void =>
      expect(many.filter((one) => one.name === name && holds(one)).length, name).toBeGreaterThan(5);
    some("zero page", ({ op, pages }) => op === "write" && !pages.includes("w"));
    some("odd memory", ({ iovs }) => iovs.some(([offset]) => offset % 512 !== 0));
    some("odd position", ({ position }) => position % 512 !== 0);
    some("empty parts", ({ iovs }) => iovs.some(([, len]) => len === 0));
    some("holes", ({ layout }) => layout.pieces.some(({ state }) => state === "hole"));
    some("holes", ({ layout }) => layout.pieces.some(({ state }) => state === "unwritten"));
    some("end of file", (one) => one.position + total_of(one) > one.layout.size);
    some("extents", ({ layout, iovs }) => layout.scattered && iovs[0]![0] % BLOCK !== 0);
    some("same page", (one) => overlaps_of(one).length > 0);
    some("large", (one) => total_of(one) > 1 << 20);
    some("many parts", ({ iovs }) => iovs.length > 500);
  });
  it("know which bytes more than one part covers", () => {
    const one = {
      ...many[0]!,
      iovs: [
        [0, 100],
        [512, 100],
        [50, 10],
        [590, 100],
      ] as const,
    };
    expect(overlaps_of(one)).toEqual([
      [50, 10],
      [590, 22],
    ]);
  });
});

describe("where a file lies", () => {
  const TEXT = `Filesystem type is: ef53
File size of f is 24576 (6 blocks of 4096 bytes)
 ext:     logical_offset:        physical_offset: length:   expected: flags:
   0:        0..       1:      34816..     34817:      2:
   1:        3..       3:      40000..     40000:      1:      34819: unwritten
   2:        4..       4:      50000..     50000:      1:      40001: last,eof
f: 3 extents found
`;
  const runs = [
    { offset: 0, bytes: 2 * BLOCK, state: "data" },
    { offset: 2 * BLOCK, bytes: BLOCK, state: "hole" },
    { offset: 3 * BLOCK, bytes: BLOCK, state: "unwritten" },
    { offset: 4 * BLOCK, bytes: BLOCK, state: "data" },
  ] as const;
  const tail = { offset: 5 * BLOCK, bytes: BLOCK, state: "hole" } as const;
  it("is read from filefrag, holes included", () => {
    expect(parse_filefrag(TEXT, 6 * BLOCK)).toEqual([...runs, tail]);
    expect(parse_filefrag("f: 0 extents found", BLOCK)).toEqual([
      { offset: 0, bytes: BLOCK, state: "hole" },
    ]);
  });
  it("is told as a write met it: a hole and what is behind the end are one", () => {
    const merged = { ...tail, bytes: 5 * BLOCK };
    expect(runs_met([...runs, tail], runs, 10 * BLOCK)).toEqual([...runs, merged]);
    expect(runs_met(runs, runs, 10 * BLOCK)).toEqual([...runs, merged]);
    expect(runs_met(runs, runs, 5 * BLOCK)).toEqual(runs);
  });
  it("divides a hole where its new blocks lie in several places", () => {
    const now = [
      { offset: 0, bytes: 2 * BLOCK, state: "data" },
      { offset: 2 * BLOCK, bytes: 2 * BLOCK, state: "data" },
    ] as const;
    const hole = [{ offset: 0, bytes: 8 * BLOCK, state: "hole" }] as const;
    expect(runs_met(hole, now, 8 * BLOCK)).toEqual([
      { offset: 0, bytes: 2 * BLOCK, state: "hole" },
      { offset: 2 * BLOCK, bytes: 6 * BLOCK, state: "hole" },
    ]);
    const more = allocated_in_more(hole, 512, 3 * BLOCK, 1, 0);
    expect(more).toHaveLength(2);
    expect([BLOCK, 2 * BLOCK]).toContain(more?.[0]?.bytes);
    expect(allocated_in_more(hole, 512, 3 * BLOCK, 3, 0)).toBe(null);
    expect(allocated_in_more(now, 0, 4 * BLOCK, 1, 0)).toBe(null);
  });
  it("is on a file system that the mounts name", () => {
    const mounts = "a / overlay rw\nb /tmp ext4 rw\nc /tmp/with\\040space xfs rw\n";
    expect(fs_type_of(mounts, "/tmp")).toBe("ext4");
    expect(fs_type_of(mounts, "/tmpx")).toBe("overlay");
    expect(fs_type_of(mounts, "/tmp/with space/f")).toBe("xfs");
  });
});
