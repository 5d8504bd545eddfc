import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** What runs compilers and programs, which have no debug mode of this process: once is enough. */
const compilers = ["compilers", "cli", "vitest_entry"].map((name) => `test/${name}/**/*.test.ts`);

/** The same tests, with debug mode off and on. */
const suite = (name: string, debug: "0" | "1") => ({
  extends: true as const,
  test: {
    name,
    include: ["test/**/*.test.ts"],
    exclude: compilers,
    setupFiles: ["test/setup.ts"],
    testTimeout: 120_000,
    env: { USER_PAGE_DEBUG: debug },
  },
});

export default defineConfig({
  resolve: {
    alias: { "user-page": fileURLToPath(new URL("src/index.ts", import.meta.url)) },
  },
  test: {
    maxWorkers: "100%", // the default leaves one core idle, of two
    projects: [
      suite("plain", "0"),
      suite("debug", "1"),
      {
        extends: true,
        test: { name: "compilers", include: compilers, testTimeout: 240_000 },
      },
    ],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text", "json-summary"],
    },
  },
});
