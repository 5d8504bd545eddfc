/** Every failure on the way of the library's own paths. */
import { test } from "vitest";
import { expect_all_fine } from "./all_fine.js";
import { BLOCK, DIRECT, ITERATORS } from "./library_io.js";
import { MEMORY, PINS } from "./library_pins.js";

const LIBRARY = [...DIRECT, ...PINS, ...MEMORY, ...BLOCK, ...ITERATORS];
test.each(LIBRARY.map((subject) => [subject.name, subject] as const))("%s", (_name, subject) => {
  expect_all_fine(subject);
});
