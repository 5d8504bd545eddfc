// Writes the tables of docs/accounting.md anew.  The test that fails when they are stale makes them; vitest runs TypeScript, so it does both.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const only = [
  "--project",
  "compilers",
  "test/compilers/schemes.test.ts",
  "-t",
  "accounting.md is fresh",
];
execFileSync(process.execPath, [vitest, "run", "--update", ...only], {
  cwd: root,
  stdio: "inherit",
});
