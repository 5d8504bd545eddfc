/** The rows of bad_input.ts for faulting memory in ahead of its use. */
import * as api from "user-page";
import type { Bench } from "./bad_input.js";

type Row = readonly [args: (b: Bench) => unknown[], ...kinds: string[]];
const row = (dir: api.Dir): Row => [
  (b) => [api.iov_iter_ubuf(dir, b.buf, 8192), 8192, b.current],
  "object",
  "count",
  "task",
];

export const FAULT_IN_ROWS: Readonly<Record<string, Row>> = {
  fault_in_iov_iter_readable: row("source"),
  fault_in_iov_iter_writeable: row("dest"),
};
