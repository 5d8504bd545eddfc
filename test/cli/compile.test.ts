/** What compilers print, read; and where they are found. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { parse_diagnostics } from "../../cli/compile.js";
import { find_compiler, is_too_old } from "../../cli/compiler.js";
import { find_config } from "../../cli/tsconfig.js";
import { project, user_page } from "./command.js";

test("diagnostics with and without a place, and the lines that follow", () => {
  const printed = [
    "a/b (1).ts(4,9): error TS2322: Type 'number' is not assignable to type 'string'.",
    "  Because (1,2): error of some kind.",
    "",
    "error TS5107: Option 'x' is deprecated.",
    "../c.ts(10,1): error TS1005: ';' expected.\r",
    "Found 3 errors.",
  ].join("\n");
  expect(parse_diagnostics(printed, "/here/now")).toEqual([
    {
      file: "/here/now/a/b (1).ts",
      line: 4,
      column: 9,
      code: "TS2322",
      message: "Type 'number' is not assignable to type 'string'.",
      more: ["  Because (1,2): error of some kind."],
    },
    {
      file: null,
      line: 0,
      column: 0,
      code: "TS5107",
      message: "Option 'x' is deprecated.",
      more: [],
    },
    { file: "/here/c.ts", line: 10, column: 1, code: "TS1005", message: "';' expected.", more: [] },
  ]);
});
test("the compiler of the project, and without one that of the current folder", () => {
  const folder = project({});
  expect(find_compiler(folder)?.version).toMatch(/^7\.0/);
  expect(find_compiler(dirname(folder))?.version).toMatch(/^6\.0/);
});
test("one that is too old is refused", async () => {
  expect(
    ["5.8.3", "4.9.5", "5.9.0", "6.0.1", "7.0.0"].map((version) =>
      is_too_old({ tsc: "", version }),
    ),
  ).toEqual([true, true, false, false, false]);
  const cwd = project({ "driver.ts": "" });
  const old = join(cwd, "inner", "node_modules", "typescript");
  mkdirSync(join(old, "lib"), { recursive: true });
  writeFileSync(join(old, "lib/tsc.js"), "");
  writeFileSync(join(old, "package.json"), '{ "version": "5.4.5" }');
  writeFileSync(join(cwd, "inner/driver.ts"), "");
  const { code, err } = await user_page(cwd, "check", "inner/driver.ts");
  expect(code).toBe(3);
  expect(err).toMatch(/^user-page: TypeScript 5\.4\.5 was found from .*; 5\.9 or later is needed/);
});
test("one that does not run is no compiler that refuses nothing", async () => {
  const cwd = project({ "driver.ts": "" });
  const broken = join(cwd, "inner", "node_modules", "typescript");
  mkdirSync(join(broken, "lib"), { recursive: true });
  writeFileSync(join(broken, "lib/tsc.js"), 'throw new Error("broken here");');
  writeFileSync(join(broken, "package.json"), '{ "version": "5.9.9" }');
  writeFileSync(join(cwd, "inner/driver.ts"), "");
  const { code, err } = await user_page(cwd, "check", "inner/driver.ts");
  expect(code).toBe(3);
  expect(err).toMatch(/^user-page: TypeScript 5\.9\.9 did not run: [^]*broken here/);
});
test("a configuration is looked for up to the root of the project", () => {
  const cwd = project({ "tsconfig.json": "{}" });
  mkdirSync(join(cwd, "a/b"), { recursive: true });
  expect(find_config(join(cwd, "a/b"))).toBe(join(cwd, "tsconfig.json"));
  writeFileSync(join(cwd, "a/package.json"), "{}");
  expect(find_config(join(cwd, "a/b"))).toBeNull();
});
