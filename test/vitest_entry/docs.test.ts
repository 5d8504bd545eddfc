/** docs/testing.md: its code compiles, its tests run, and the one that fails says what the page shows. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ROOT, run_specs } from "./run_specs.js";

const page = readFileSync(join(ROOT, "docs/testing.md"), "utf8");
const blocks = [...page.matchAll(/^```typescript\n([^]*?)^```/gm)].map(([, code]) => code!);
const shown = /^```text\n([^]*?)^```/m.exec(page)![1]!;

const folder = realpathSync(mkdtempSync(join(tmpdir(), "user-page-testing-")));
afterAll(() => rmSync(folder, { recursive: true }));
blocks.forEach((code, i) => writeFileSync(join(folder, `pins${i}.spec.ts`), code));

test("its code compiles", () => {
  const config = {
    extends: join(ROOT, "tsconfig.check.json"),
    compilerOptions: {
      rootDir: "/",
      typeRoots: [join(ROOT, "node_modules/@types")],
      paths: {
        "user-page": [join(ROOT, "src/index.ts")],
        "user-page/vitest": [join(ROOT, "vitest/index.ts")],
      },
    },
    include: ["*.spec.ts"],
  };
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/typescript-7/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
  // What the library says of itself is checked elsewhere.
  expect(stdout.split("\n").filter((line) => line.includes(".spec.ts"))).toEqual([]);
});
test("its tests run, and the last one fails as it is shown", async () => {
  const results = await run_specs(folder);
  const statuses = Array.from(results, ([name, { status }]) => [name, status]);
  expect(statuses).toEqual([
    ["a pin is given back", "passed"],
    ["put_page() is the wrong way", "passed"],
    ["a pin is forgotten", "failed"],
    ["put_page() later", "passed"],
  ]);
  const said = results.get("a pin is forgotten")!.messages[0]!;
  expect(said.replaceAll("pins0.spec.ts", "pins.test.ts")).toContain(shown.trimEnd());
});
