// Draws docs/trace-direct-io.svg anew, from a trace, and writes the table of docs/tracing.md.  The tests that fail when they
// are stale make them.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const only = ["--project", "plain", "test/trace/picture.test.ts", "-t", "is fresh"];
execFileSync(process.execPath, [vitest, "run", "--update", ...only], {
  cwd: root,
  stdio: "inherit",
});
