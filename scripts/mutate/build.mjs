// Bundles the mutated library with the tests it is run against: those of what counts, or with MUTATE=debug of debug mode.
import { rm } from "node:fs/promises";
import { rolldown } from "rolldown";

const suite = process.env["MUTATE"] === "debug" ? "debug" : "counts";
/** Numbers of acquisitions begin again after a turn: a short one, which tests need not spend seconds on. */
const short_turn = {
  name: "short-turn",
  /** @param {string} code @param {string} id */
  transform(code, id) {
    if (!id.endsWith("/src/machine/limits.ts")) return null;
    const short = code
      .replace(/(?<=MAX_RECORDS\b[^=]*= )2 \*\* 21/, "2 ** 13")
      .replace(/(?<=MAX_(?:ENDED_SITES|DEBUG_OWNERS)\b[^=]*= )2 \*\* 16/g, "2 ** 9");
    return { code: short, map: null };
  },
};
await rm("dist/reached.json", { force: true });
const bundle = await rolldown({
  input: `scripts/mutate/${suite}.mjs`,
  platform: "node",
  external: ["@vitest/expect", "chai", "fast-check", "neverthrow", "ts-brand"],
  resolve: {
    alias: {
      "user-page": `${process.cwd()}/src/index.ts`,
      vitest: `${process.cwd()}/scripts/mutate/vitest.mjs`,
    },
    extensionAlias: { ".js": [".ts", ".js"] },
  },
  transform: { target: "es2022" },
  treeshake: false,
  plugins: [short_turn],
});
await bundle.write({ file: "dist/mutate.mjs", format: "esm", sourcemap: true });
