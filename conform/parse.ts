import { parse_direct } from "./parse/direct.js";
import { parse_fork } from "./parse/fork.js";
import { parse_fuse, parse_in_flight } from "./parse/in_flight.js";
import { parse_node } from "./parse/node.js";
import { parse_others } from "./parse/others.js";
import { parse_registered } from "./parse/registered.js";
import { parse_unpinned } from "./parse/unpinned.js";
import type { Row } from "./rows.js";
// From the words of a row to a scenario, or to the reason why there is none.  The numbers of the row are not read.
import { out, type OutOfScope, type Reading } from "./scenario.js";

/** What the model does not have, or the row does not say, by the words that ask for it. */
const MISSING: ReadonlyArray<readonly [words: RegExp, reason: string]> = [
  [
    /memfd_secret/,
    "memfd_secret() takes pages out of the kernel's direct map, which is not modelled",
  ],
  [
    /1G hugetlb/,
    "a folio of 1 GiB: hugetlb reserves it at boot, and the model's allocator ends at 4 MiB (order 10)",
  ],
  [
    /TCP|unix socket|SEND_ZC submitted|drained\+notif/,
    "sockets, MSG_ZEROCOPY among them, need a network stack with struct sk_buff, which is not modelled",
  ],
  [/FUTEX_WAIT/, "the model has no clock by which a FUTEX_WAIT that nobody wakes would end"],
  [/vmsplice from pipe/, "the row does not say how much was in the pipe"],
  [
    /^node fs\.readSync \/proc\/self\/mem/,
    "the row does not say which address was read, nor what is mapped behind it",
  ],
];
const PARSERS = [
  parse_fork,
  parse_direct,
  parse_node,
  parse_in_flight,
  parse_registered,
  parse_others,
  parse_unpinned,
];

/** What goes another way on btrfs: everything with O_DIRECT on a file. */
function on_btrfs(read: Reading): Reading | OutOfScope {
  const calls = read.scenario.steps.flatMap(({ calls }) => calls);
  const known = calls.every(({ call }) => call === "direct io" || call === "buffered io");
  if (!known) return out("of btrfs the runner plays reads and writes that wait for their end");
  return { ...read, scenario: { ...read.scenario, file_system: "btrfs" } };
}
/** The scenario of a row, and which step it is about. */
export function parse(row: Row): Reading | OutOfScope {
  if (!["ext4", "xfs", "btrfs", "fuse", ""].includes(row.fs)) {
    return out(`the file system ${row.fs} is unknown`);
  }
  if (!row.deterministic)
    return out("the kernel's own numbers differ from repetition to repetition");
  const suffix = ` | ${row.fs}`;
  const params = row.params.endsWith(suffix) ? row.params.slice(0, -suffix.length) : row.params;
  const words = `${row.op} ${params} ${row.phase}`;
  const missing = MISSING.find(([pattern]) => pattern.test(words));
  if (missing) return out(missing[1]);
  for (const parser of row.fs === "fuse" ? [parse_fuse] : PARSERS) {
    const read = parser(row, params);
    if (!read) continue;
    if ("reason" in read) return read;
    if (row.fs === "btrfs") return on_btrfs(read);
    return read.doubt === undefined ? read : out(read.doubt);
  }
  return out("the operation or its phase is unknown to this runner");
}
