/** Direct I/O over 1 GiB: a pin for each page against one reference for each extent, and what debug mode adds. */
import { join } from "node:path";
import { compare, median, quantile, ratio, type Samples, type Variant } from "./driver.js";
import type { Bench } from "./sections.js";
import type { Row } from "./table.js";
import { references_per_gib, type Disk, type Layout, type References } from "./workloads/direct.js";

const LAYOUTS: Readonly<Record<Layout, string>> = {
  in_order: "4 KiB pages in order",
  scattered: "4 KiB pages scattered",
  huge: "2 MiB pages",
};
/**
 * ns for each 4 KiB page that Linux 6.18 took on another host to pin pages, put them into a bio and release them, by a transfer
 * that the alignment of its memory lets fail.
 */
const LINUX: Readonly<Record<"read" | "write", Readonly<Record<Layout, number>>>> = {
  read: { in_order: 139.8, scattered: 139.8, huge: 1.92 },
  write: { in_order: 111.1, scattered: 111.1, huge: 1.88 },
};

function variant(
  programs: string,
  how: References,
  op: string,
  on: Layout,
  disk: Disk,
  level: string,
): Variant {
  const args = [join(programs, "variant.js"), "direct", how, op, on, disk, level];
  return { command: process.execPath, args };
}
const digits = (ns: number): string =>
  ns >= 100 ? ns.toFixed(0) : ns >= 1 ? ns.toFixed(1) : ns.toFixed(3);
const spread = (ns: Samples): string =>
  `${digits(median(ns))} (${digits(quantile(ns, 0.25))} to ${digits(quantile(ns, 0.75))})`;

async function by_page_or_extent(bench: Bench, disk: Disk): Promise<Row[]> {
  const rows: Row[] = [];
  for (const op of ["read", "write"] as const) {
    for (const layout of ["in_order", "scattered", "huge"] as const) {
      const of = (how: References): Variant =>
        variant(bench.programs, how, op, layout, disk, "off");
      const ns = await compare({ pages: of("pages"), extents: of("extents") }, bench.effort);
      const [pages, extents] = [
        references_per_gib("pages", layout),
        references_per_gib("extents", layout),
      ];
      const linux = disk === "refusing" ? `; Linux ${LINUX[op][layout]} per page` : "";
      rows.push({
        section: `direct, ${disk}`,
        what: `${op.toUpperCase()}${disk === "ram" ? " with its bytes" : ""}, ${LAYOUTS[layout]}: per page ÷ per extent`,
        ratio: ratio(ns.pages, ns.extents),
        goal: null,
        note: `${spread(ns.pages)} ÷ ${spread(ns.extents)} ns a page; ${pages} ÷ ${extents} references${linux}`,
      });
    }
  }
  return rows;
}
async function levels({ programs, effort }: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [how, layout] of [
    ["pages", "in_order"],
    ["extents", "in_order"],
    ["pages", "huge"],
    ["extents", "huge"],
  ] as const) {
    const of = (level: string): Variant =>
      variant(programs, how, "read", layout, "refusing", level);
    const ns = await compare({ off: of("off"), tags: of("tags"), owners: of("owners") }, effort);
    for (const level of ["tags", "owners"] as const) {
      rows.push({
        section: "direct, debug",
        what: `READ, ${LAYOUTS[layout]}, ${how === "pages" ? "per page" : "per extent"}: "${level}" ÷ off`,
        ratio: ratio(ns[level], ns.off),
        goal: null,
        note: `${spread(ns[level])} ÷ ${spread(ns.off)} ns a page`,
      });
    }
  }
  return rows;
}
/** What a call costs without its bytes, with them, and in debug mode. */
export async function direct(bench: Bench): Promise<Row[]> {
  // One call is a GiB: a round is much longer than elsewhere, and says as much.
  const effort = { sittings: Math.min(2, bench.effort.sittings), rounds: 3 };
  const shorter = { ...bench, effort };
  return [
    ...(await by_page_or_extent(shorter, "refusing")),
    ...(await by_page_or_extent(shorter, "ram")),
    ...(await levels(shorter)),
  ];
}
