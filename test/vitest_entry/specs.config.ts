import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const in_repo = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** Runs specs, which are no tests of this repository: some of them fail. */
export default defineConfig({
  root: process.cwd(),
  resolve: {
    alias: [
      { find: /^user-page$/, replacement: in_repo("src/index.ts") },
      { find: /^user-page\/vitest$/, replacement: in_repo("vitest/index.ts") },
    ],
  },
  test: { include: ["**/*.spec.ts"], exclude: ["**/node_modules/**"], reporters: ["json"] },
});
