/** Bugs of the collection that the machine has no room for, and why. */
import type { NotModelled } from "./types.js";

export const NOT_MODELLED: readonly NotModelled[] = [
  {
    number: "B74",
    classes: ["ordering", "use-after-release"],
    title: "fuse: release pipe buf after last use",
    why: "What goes wrong is a flag of the page (it is on an LRU list) that a pipe finds on a page it recycles, because the count is 1 by then. There are no LRU lists here, pipes recycle no pages, and no reference is taken or dropped wrongly.",
  },
  {
    number: "B83",
    classes: ["other", "missing-longterm"],
    title: "mm/secretmem: fix GUP-fast succeeding on secretmem folios",
    why: "The fast walk skipped a check that the slow one makes: no call of a driver is wrong. There is no secret memory here; that both walks refuse the same long-term pins is a matter of the library's own tests.",
  },
  {
    number: "B89",
    classes: ["cow/fork"],
    title: "mm/gup: fix FOLL_FORCE COW security issue and remove FOLL_COW",
    why: "The walk took a dirty entry for a sign that the page had been copied: no call of a driver is wrong. The walk of this library asks the mark of exclusive pages, which is the repair.",
  },
];
