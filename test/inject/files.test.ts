/** Every failure on the way of files. */
import { test } from "vitest";
import { expect_all_fine } from "./all_fine.js";
import { FILES } from "./files.js";

test.each(FILES.map((subject) => [subject.name, subject] as const))("%s", (_name, subject) => {
  expect_all_fine(subject);
});
