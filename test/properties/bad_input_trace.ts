/** Rows of tracing and of /proc, and the values that their arguments must not have. */
import type { Bench } from "./bad_input.js";

export const BAD_TRACE: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  trace_options: () => [
    null,
    "text",
    5,
    ...[0, -1, 1.5, NaN, Infinity, "8", null, {}].map((limit) => ({ limit })),
  ],
};
type Row = readonly [args: (b: Bench) => unknown[], ...kinds: string[]];
const of_machine: Row = [(b) => [b.machine], "machine"];
const of_task: Row = [(b) => [b.current], "task"];

export const TRACE_ROWS: Readonly<Record<string, Row>> = {
  trace_machine: [(b) => [b.machine, () => undefined], "machine", "call"],
  start_trace: [(b) => [b.machine, { limit: 8 }], "machine", "trace_options"],
  proc_vmstat: of_machine,
  proc_buddyinfo: of_machine,
  proc_meminfo: of_machine,
  proc_kpagecount: of_machine,
  proc_kpageflags: of_machine,
  proc_page_owner: of_machine,
  proc_maps: of_task,
  proc_smaps: of_task,
  proc_pagemap: of_task,
  proc_status: of_task,
};
