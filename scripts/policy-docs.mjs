// Writes the table of docs/pins-and-writeback.md anew.  The test that fails when it is stale makes it.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const only = [
  "--project",
  "plain",
  "test/policies.test.ts",
  "-t",
  "pins-and-writeback.md is fresh",
];
execFileSync(process.execPath, [vitest, "run", "--update", ...only], {
  cwd: root,
  stdio: "inherit",
});
