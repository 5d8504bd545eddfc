/** With folios of several pages in anonymous memory the counts add up as they do without. */
import fc from "fast-check";
import { test } from "vitest";
import { debug_mode } from "../fixtures.js";
import { program, run } from "./program.js";

test("after every step each count is what the model says, whatever sizes folios have", () => {
  const sizes = fc.constantFrom("16K:always", "16K-64K:madvise", "32K,1M:always;2M:never");
  fc.assert(
    fc.property(program, sizes, (ops, thp_anon) => {
      run({ CONFIG_DEBUG_USER_PAGE_REFERENCES: debug_mode, thp_anon }, ops);
    }),
    { numRuns: 60 },
  );
}, 120_000);
