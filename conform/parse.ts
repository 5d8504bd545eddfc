import { parse_direct } from "./parse/direct.js";
import { parse_fork } from "./parse/fork.js";
import { parse_fuse, parse_in_flight } from "./parse/in_flight.js";
import { parse_node } from "./parse/node.js";
import { parse_others } from "./parse/others.js";
import { parse_registered } from "./parse/registered.js";
import type { Row } from "./rows.js";
// From the words of a row to a scenario, or to the reason why there is none.  The numbers of the row are not read.
import { out, type OutOfScope, type Reading } from "./scenario.js";

/** What the model does not have, by the words that ask for it. */
const MISSING: ReadonlyArray<readonly [words: RegExp, reason: string]> = [
  [/memfd_secret/, "the model has no memfd_secret()"],
  [/mTHP/, "the model maps no folios of 64 KiB"],
  [/1G hugetlb/, "the model has no folios of 1 GiB"],
  [
    /over page cache|self-mapped|buffered|readFileSync|copyFile/,
    "buffered I/O and mappings of itself: the runner does not play the page cache",
  ],
  [/tmpfs|\/dev\/|char devices|\/proc\//, "the model has no tmpfs, /dev or /proc"],
  [
    /vmsplice|splice|pipe\b/,
    "user pages in a pipe: the model has no vmsplice() and no read() of a pipe",
  ],
  [/TCP|unix socket|SEND_ZC submitted|drained/, "the model has no sockets"],
  [
    /futex|mlock|move_pages|MAP_POPULATE/,
    "the model has no futex(), mlock(), move_pages() or MAP_POPULATE",
  ],
];
const PARSERS = [
  parse_fork,
  parse_direct,
  parse_node,
  parse_in_flight,
  parse_registered,
  parse_others,
];

/** The scenario of a row, and which step it is about. */
export function parse(row: Row): Reading | OutOfScope {
  if (row.fs === "btrfs") return out("the model has no btrfs");
  if (!["ext4", "xfs", "fuse", ""].includes(row.fs)) {
    return out(`the file system ${row.fs} is unknown`);
  }
  if (!row.deterministic) return out("the kernel's own answer varies");
  const suffix = ` | ${row.fs}`;
  const params = row.params.endsWith(suffix) ? row.params.slice(0, -suffix.length) : row.params;
  const words = `${row.op} ${params} ${row.phase}`;
  const missing = MISSING.find(([pattern]) => pattern.test(words));
  if (missing) return out(missing[1]);
  for (const parser of row.fs === "fuse" ? [parse_fuse] : PARSERS) {
    const read = parser(row, params);
    if (read) return read;
  }
  return out("the operation or its phase is unknown to this runner");
}
