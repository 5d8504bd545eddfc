// What is recorded of a run beside its end: the trace, and views of the machine as files of /proc show it.
import { writeFileSync } from "node:fs";
import {
  proc_buddyinfo,
  proc_kpagecount,
  proc_kpageflags,
  proc_maps,
  proc_meminfo,
  proc_page_owner,
  proc_pagemap,
  proc_smaps,
  proc_vmstat,
  start_trace,
  type DriverWorld,
  type Tracing,
} from "user-page";
import type { RunRequest } from "./outcome.js";

type View = (world: DriverWorld) => string;
/** The views by the names of the files; those of a task are the driver's. */
const VIEWS: Readonly<Record<string, View>> = {
  vmstat: ({ machine }) => proc_vmstat(machine),
  meminfo: ({ machine }) => proc_meminfo(machine),
  buddyinfo: ({ machine }) => proc_buddyinfo(machine),
  kpagecount: ({ machine }) => proc_kpagecount(machine),
  kpageflags: ({ machine }) => proc_kpageflags(machine),
  page_owner: ({ machine }) => proc_page_owner(machine),
  maps: ({ current }) => proc_maps(current),
  smaps: ({ current }) => proc_smaps(current),
  pagemap: ({ current }) => proc_pagemap(current),
};
export const VIEW_NAMES: readonly string[] = Object.keys(VIEWS);

/** Looks at a run while its machine is there. */
export interface Watch {
  start(world: DriverWorld): void;
  /** the views that were asked for */
  end(world: DriverWorld): Readonly<Record<string, string>>;
}
export function watch_of({ trace, proc }: RunRequest): Watch {
  let tracing: Tracing | null = null;
  return {
    start: ({ machine }) => {
      if (trace !== null) tracing = start_trace(machine);
    },
    end: (world) => {
      if (tracing !== null && trace !== null) {
        writeFileSync(trace, tracing.to_json());
        tracing[Symbol.dispose]();
      }
      return Object.fromEntries(proc.map((name) => [`/proc/${name}`, VIEWS[name]!(world)]));
    },
  };
}
