/** The picture of docs/tracing.md shows what a trace says today, and can be read. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { TRACE_EVENTS } from "user-page";
import { describe, expect, test } from "vitest";
import { picture } from "./picture.js";

const PICTURE = fileURLToPath(new URL("../../docs/trace-direct-io.svg", import.meta.url));
const PAGE = fileURLToPath(new URL("../../docs/tracing.md", import.meta.url));
const svg = picture();

test("trace-direct-io.svg is fresh: node scripts/trace-picture.mjs", async () => {
  await expect(svg).toMatchFileSnapshot(PICTURE);
});

/** A table whose columns are as wide as what is in them. */
function table_of(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[], fill = " "): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!, fill)).join(" | ")} |`;
  const [head, ...body] = rows;
  const rule = line(
    widths.map(() => ""),
    "-",
  );
  return [line(head!), rule, ...body.map((cells) => line(cells))].join("\n");
}
const BEGIN = "<!-- events: begin -->";
const END = "<!-- events: end -->";
test("tracing.md is fresh: node scripts/trace-picture.mjs", async () => {
  const page = readFileSync(PAGE, "utf8");
  const [begin, end] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)];
  expect(begin).toBeLessThan(end);
  const rows = Object.entries(TRACE_EVENTS).map(([name, { system, is, fields }]) => {
    const names = fields.replace(/:\w+/g, "").replaceAll(" ", ", ");
    return [system, `\`${name}\``, is.replace(/\|/g, "\\|"), names];
  });
  const table = table_of([["system", "event", "when", "fields"], ...rows]);
  await expect(`${page.slice(0, begin)}\n\n${table}\n\n${page.slice(end)}`).toMatchFileSnapshot(
    PAGE,
  );
});

interface Box {
  readonly words: string;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}
/** Boxes of what is written from left to right; a letter is wider in no font that is asked for. */
function boxes(): Box[] {
  return [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"([^>]*)>([^<]*)</g)].flatMap((found) => {
    const [x, y] = [Number(found[1]), Number(found[2])];
    const [attributes, words] = [found[3]!, found[4]!];
    if (attributes.includes("rotate")) return [];
    const size = attributes.includes('"h"') ? 14 : 11;
    const width = words.length * size * 0.6;
    const before = attributes.includes('"end"')
      ? width
      : attributes.includes("middle")
        ? width / 2
        : 0;
    return [{ words, left: x - before, right: x - before + width, top: y - size, bottom: y + 2 }];
  });
}
describe("can be read", () => {
  const all = boxes();
  test("no words lie over others, or outside", () => {
    const width = Number(/width="(\d+)"/.exec(svg)![1]);
    expect(all.length).toBeGreaterThan(20);
    for (const a of all) {
      expect(a.left, a.words).toBeGreaterThan(0);
      expect(a.right, a.words).toBeLessThan(width);
      for (const b of all) {
        if (a === b || a.right <= b.left || b.right <= a.left) continue;
        expect(a.bottom <= b.top || b.bottom <= a.top, `${a.words} over ${b.words}`).toBe(true);
      }
    }
  });
  test("the words of a bar end before it does", () => {
    const bars = svg.matchAll(
      /<rect x="([\d.]+)"[^>]*width="([\d.]+)"[^>]*class="(?!card)[^>]*\/>\n<text x="([\d.]+)"[^>]*>([^<]*)</g,
    );
    let n = 0;
    for (const [, x, width, at, words] of bars) {
      n++;
      const end = Number(at) + words!.length * 11 * 0.6;
      expect(end, words).toBeLessThan(Number(x) + Number(width));
    }
    expect(n).toBeGreaterThan(15);
  });
});
test("one bar for each pin of a page, and one for the extent", () => {
  expect(svg.match(/class="pin"/g)).toHaveLength(5);
  expect(svg.match(/class="bio"/g)).toHaveLength(4);
});
