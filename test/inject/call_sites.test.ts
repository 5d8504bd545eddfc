/** Every failure on the way of each converted call site: nothing stays behind, and no success is claimed in vain. */
import { test } from "vitest";
import { expect_all_fine } from "./all_fine.js";
import { DEVICES } from "./call_sites_device.js";
import { DISKS } from "./call_sites_disk.js";

const SITES = [...DISKS, ...DEVICES];
test.each(SITES.map((subject) => [subject.name, subject] as const))("%s", (_name, subject) => {
  expect_all_fine(subject);
});
