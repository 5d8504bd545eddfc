/**
 * What a person reads when a misuse is refused: the first line that each compiler prints, pinned.  The programs are
 * types-test/misuse/*.ts, without the line that expects the error.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MISUSE, type MisuseId } from "user-page";
import { describe, expect, test } from "vitest";
import { compile, COMPILER_NAMES, ROOT } from "./compile.js";
import messages from "./messages.json" with { type: "json" };

/** A second form stands beside the first where compilers differ in the order of a union or in where they begin. */
const pinned: Partial<Record<string, string | string[]>> = messages;
const folder = join(ROOT, "types-test", "misuse");
const marked = new Map(
  readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]),
);
const EXPECTED = /^\s*\/\/ @ts-expect-error .*\n/gm;
const unmarked = new Map(Array.from(marked, ([name, text]) => [name, text.replace(EXPECTED, "")]));
const ids = Object.keys(MISUSE) as MisuseId[];
const refused = ids.filter((id) => (MISUSE[id].seen_by as readonly string[]).includes("types"));

test("each refused program is marked once, and no other", () => {
  const marks = Array.from(marked, ([name, text]) => [name, text.match(EXPECTED)?.length ?? 0]);
  const expected = [
    ...ids.map((id) => [`${id}.ts`, refused.includes(id) ? 1 : 0]),
    ["bench.ts", 0],
  ];
  expect(Object.fromEntries(marks)).toEqual(Object.fromEntries(expected));
});

describe.each(COMPILER_NAMES)("TypeScript %s", (compiler) => {
  const { errors } = compile(compiler, unmarked);
  test.each(refused)("%s", (id) => {
    const found = errors.get(`${id}.ts`);
    expect(found).toHaveLength(1);
    expect([pinned[id]].flat()).toContain(found![0]);
  });
  test("nothing else is refused", () => {
    expect([...errors.keys()].sort()).toEqual(refused.map((id) => `${id}.ts`).sort());
  });
});

test("no message advises to weaken a type, shows an intersection or ends in never", () => {
  const lines = Object.values(pinned).flat();
  expect(
    lines.filter((line) => / & |'never'|exactOptional|No overload|undefined/.test(line!)),
  ).toEqual([]);
});

describe.each(COMPILER_NAMES)("TypeScript %s, without exactOptionalPropertyTypes", (compiler) => {
  const { errors } = compile(compiler, marked, { exactOptionalPropertyTypes: false });
  test("refuses the same and nothing else", () => {
    expect(Object.fromEntries(errors)).toEqual({});
  });
});
