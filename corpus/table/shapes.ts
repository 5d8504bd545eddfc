/** The correct shapes. */
import type { Shape } from "./types.js";

export const SHAPES: readonly Shape[] = [
  {
    name: "C01-goto-cleanup-partial",
    looks_like: "a release in an error path, with another count at each label",
  },
  {
    name: "C02-moved-into-bio-released-in-end_io",
    looks_like: "an acquisition whose release is in no function of the file",
  },
  { name: "C04-conditional-dirty-by-result", looks_like: "a dirty flag that is computed" },
  { name: "C05-slice-after-partial-map", looks_like: "a release of the middle of an array" },
  {
    name: "C07-pin-unpin-per-iteration",
    looks_like: "an acquisition in a loop, and a return in its middle",
  },
  { name: "C08-early-return-nothing-held", looks_like: "a return right after the acquisition" },
  { name: "C10-partial-left-in-struct-for-caller", looks_like: "an error return that keeps pages" },
  { name: "C11-coalesce-to-one-pin", looks_like: "pages used after they were unpinned" },
  { name: "C13-two-releases-by-provenance", looks_like: "two releases for one variable" },
  { name: "C14-release-via-pfn", looks_like: "a page made from a number" },
  { name: "C16-second-ref-for-second-owner", looks_like: "two puts of one pointer" },
  {
    name: "C17-retry-with-weaker-access",
    looks_like: "a release followed by another acquisition into the same place",
  },
  {
    name: "C19-borrowed-kvec-pages-never-put",
    looks_like: "pages of one array, some of them never put",
  },
  { name: "C20-zero-page-uniform-unpin", looks_like: "an unpin of a page nobody pinned" },
  {
    name: "C22-unpin-deferred-out-of-atomic",
    looks_like: "a clean-up that returns with pages pinned",
  },
  {
    name: "C23-rollback-first-of-two",
    looks_like: "a release inside the failure of something else",
  },
  {
    name: "C25-pin-then-unpin-zero-at-once",
    looks_like: "a release right after the acquisition, and a use after it",
  },
  {
    name: "C26-ref-taken-under-lock-used-after",
    looks_like: "a reference taken on one outcome only",
  },
];
