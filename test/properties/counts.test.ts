/** Whatever a correct program does, every count is the sum of what is held, mapped and in files. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { debug_mode } from "../fixtures.js";
import { program, run } from "./program.js";

const CONFIG_DEBUG_USER_PAGE_REFERENCES = debug_mode;

test("after every step each count is what the model says, and at the end all is back", () => {
  fc.assert(
    fc.property(program, fc.option(fc.nat(), { nil: undefined }), (ops, seed) => {
      run({ CONFIG_DEBUG_USER_PAGE_REFERENCES, ...(seed && { shuffle: seed }) }, ops);
    }),
    { numRuns: 200 },
  );
}, 120_000);

test("debug mode observes: a program answers the same and counts the same with and without it", () => {
  fc.assert(
    fc.property(
      program,
      fc.constantFrom("tags" as const, "owners" as const, true as const),
      (ops, level) => {
        expect(run({ CONFIG_DEBUG_USER_PAGE_REFERENCES: level }, ops)).toEqual(run({}, ops));
      },
    ),
    { numRuns: 30 },
  );
}, 120_000);
