/** Rows of fork() and of what is refused to pinned pages. */
import * as api from "user-page";
import { must } from "../fixtures.js";
import type { Bench } from "./bad_input.js";

export const FORK_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  fork: [(b) => [b.current], "task"],
  split_folio: [(b) => [must(api.folio_alloc(b.current, 2)), b.current], "handle", "context"],
  try_to_merge_one_page: [
    (b) => [b.current, b.buf, b.current, api.user_ptr_add(b.buf, 4096)],
    "task",
    "addr",
    "task",
    "addr",
  ],
};
