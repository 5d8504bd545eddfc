// Writes docs/corpus.md anew.  The test that fails when it is stale makes it; vitest runs TypeScript, so it does both.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const only = [
  "--project",
  "compilers",
  "test/compilers/corpus.test.ts",
  "-t",
  "corpus.md is fresh",
];
execFileSync(process.execPath, [vitest, "run", "--update", ...only], {
  cwd: root,
  stdio: "inherit",
});
