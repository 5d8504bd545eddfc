// Installs the packed tarball in an empty project and compiles and runs a consumer there: what the
// package promises must hold without our configuration, our Node types or a lib beyond es2022.
// Then its command, and tests that use user-page/vitest.
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { resolve } = createRequire(import.meta.resolve("tsd"));
const compilers = [
  join(dirname(resolve("@tsd/typescript")), "_tsc.js"), // 5.9, the one tsd carries
  join(root, "node_modules/typescript/bin/tsc"),
  join(root, "node_modules/typescript-7/bin/tsc"),
];
const consumer = `import * as user_page from "user-page";
export type Names = keyof typeof user_page;
export const names: string[] = Object.keys(user_page);
if (names.length === 0) throw new Error("user-page exports nothing");
`;
const tsconfig = {
  compilerOptions: {
    target: "es2022",
    lib: ["es2022"],
    types: [],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    declaration: true,
  },
  files: ["main.ts"],
};
/** Tests are compiled without a look at what vitest declares. */
const tsconfig_of_tests = {
  compilerOptions: { ...tsconfig.compilerOptions, skipLibCheck: true, noEmit: true },
  files: ["right.test.ts", "leak.test.ts", "twice.test.ts"],
};
const driver = `import { get_user_page, IS_ERR, ITER_DEST, put_page, type DriverWorld } from "user-page";
export default function driver({ current, buf }: DriverWorld) {
  const page = get_user_page(current, buf, ITER_DEST);
  if (IS_ERR(page)) return page;
  put_page(page);
}
`;
const rows = [
  { op: "nothing of ours", params: "", phase: "run", acquired: 0, released: 0, result: "0" },
];
/** @param {string} name @param {string} body */
const test_file = (
  name,
  body,
) => `import { get_user_page, IS_ERR, ITER_DEST, put_user_page } from "user-page";
import { expect, test } from "user-page/vitest";
test("${name}", ({ machine, current, world }) => {
  const page = get_user_page(current, world.buf, ITER_DEST);
  if (IS_ERR(page)) throw new Error(page.message);
  expect(page).toHavePins(1);
  ${body}
  expect(machine).not.toReport("leak");
});
`;
const tests = {
  right: test_file("right", "put_user_page(page);"),
  leak: test_file("leak", ""),
  twice: test_file("twice", "const alias = page; put_user_page(page); put_user_page(alias);"),
};

const project = mkdtempSync(join(tmpdir(), "user-page-consumer-"));
const installed = join(project, "node_modules", "user-page");

/** @param {string} command @param {string[]} args @param {string} cwd */
const run = (command, args, cwd = project) =>
  execFileSync(command, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    shell: process.platform === "win32" && command === "npm",
  }).trim();

/** @param {string} what @param {string[]} args @param {number} status @param {RegExp[]} said */
function expect(what, args, status, ...said) {
  const ran = spawnSync(process.execPath, args, {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
  });
  const output = `${ran.stdout}${ran.stderr}`;
  const missing = said.filter((pattern) => !pattern.test(output));
  if (ran.status === status && missing.length === 0) {
    console.log(`${what}: as it should be`);
    return;
  }
  console.error(
    `${what}: exit code ${ran.status} instead of ${status}, and no ${missing.join(", ")} in`,
  );
  console.error(output);
  process.exitCode = 1;
}

try {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", project], root);
  const manifest =
    /** @type {{ name: string, version: string, dependencies: object, bin: Record<string, string> }} */ (
      JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    );
  mkdirSync(installed, { recursive: true });
  const tarball = `${manifest.name}-${manifest.version}.tgz`;
  run("tar", ["-xzf", tarball, "--strip-components=1", "-C", join("node_modules", "user-page")]);
  const packed = run("tar", ["-tzf", tarball]).split("\n");
  const foreign = packed.filter((name) => !/^package\/(dist|src)\/|^package\/[^/]+$/.test(name));
  console.log(
    `${tarball}: ${Math.round(statSync(join(project, tarball)).size / 1024)} KiB, ${packed.length} files; beside dist and src ${foreign.join(", ")}`,
  );
  for (const name of Object.keys(manifest.dependencies))
    cpSync(join(root, "node_modules", name), join(project, "node_modules", name), {
      recursive: true,
    });

  writeFileSync(join(project, "package.json"), '{ "type": "module", "private": true }');
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify(tsconfig));
  writeFileSync(join(project, "tests.json"), JSON.stringify(tsconfig_of_tests));
  writeFileSync(join(project, "main.ts"), consumer);
  writeFileSync(join(project, "driver.ts"), driver);
  writeFileSync(join(project, "rows.json"), JSON.stringify(rows));
  for (const [name, text] of Object.entries(tests))
    writeFileSync(join(project, `${name}.test.ts`), text);
  for (const name of ["vitest", "typescript"])
    symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name), "junction");
  for (const compiler of compilers) {
    const version = run(process.execPath, [compiler, "--version"]);
    try {
      run(process.execPath, [compiler, "-p", "."]);
      run(process.execPath, [compiler, "-p", "tests.json"]);
    } catch (error) {
      console.error(`${version} refuses the consumer:`);
      console.error(/** @type {{ stdout: string }} */ (error).stdout);
      process.exitCode = 1;
      continue;
    }
    console.log(`${version} compiles the consumer`);
  }
  run(process.execPath, ["main.js"]);

  const bin = join(installed, manifest.bin["user-page"] ?? "no bin");
  if (!readFileSync(bin, "utf8").startsWith("#!/usr/bin/env node\n")) {
    console.error(`${bin} does not say what runs it`);
    process.exitCode = 1;
  }
  const pin = /\[pin-to-put_page\]/;
  expect("check", [bin, "check", "driver.ts"], 1, /^driver\.ts:5:12$/m, pin);
  expect(
    "run",
    [bin, "run", "driver.ts", "--debug"],
    1,
    pin,
    / at driver\.ts:5:3$/m,
    /1 compile error/,
  );
  expect("run --inject", [bin, "run", "driver.ts", "--debug", "--inject", "all"], 1, pin);
  expect(
    "explain",
    [bin, "explain", "leak"],
    0,
    /function right/,
    /node_modules\/user-page\/docs\/misuse\.md#leak/,
  );
  expect("conform", [bin, "conform", "rows.json"], 0, /0 of 1 rows are in scope/);
  expect("conform --json", [bin, "conform", "--json"], 0, /"mismatched": 0,/);
  const vitest = [join(root, "node_modules/vitest/vitest.mjs"), "run", "--root", "."];
  expect("a right test", [...vitest, "right.test.ts"], 0, /1 passed/);
  expect("a leaking test", [...vitest, "leak.test.ts"], 1, /\[leak\]/, / at leak\.test\.ts:4:16$/m);
  expect(
    "a test that releases twice",
    [...vitest, "twice.test.ts"],
    1,
    /\[double-release\]/,
    /twice\.test\.ts:7:44$/m,
    / twice\.test\.ts -t '\^twice\$'$/m,
  );
  rmSync(join(project, "node_modules", "ts-brand"), { recursive: true });
  const unread = /the types of user-page could not be read/;
  expect("check with a dependency missing", [bin, "check", "driver.ts"], 3, unread);
} finally {
  rmSync(project, { recursive: true, force: true });
}
