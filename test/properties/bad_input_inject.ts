/** Rows of fault injection, and the values that its arguments must not have. */
import type { Bench } from "./bad_input.js";

const NO_OBJECT = [null, "text", 5, NaN] as const;
const NO_FILE = [NaN, -1, 1.5, Infinity, 2 ** 60, "8", {}, null, []] as const;
const NO_SPEC = ["text", "fail_page_alloc@0", "kill_wait@1:1", "-1", 5, null] as const;

export const BAD_INJECT: Readonly<Record<string, (b: Bench) => unknown[]>> = {
  machine_or_dead: (b) => [null, undefined, "text", {}, NaN, 5, b.current],
  world_options: () => [
    ...NO_OBJECT,
    ...NO_FILE.map((file) => ({ file })),
    ...NO_SPEC.map((inject) => ({ machine: { inject } })),
    { pages: "large" },
    { machine: { mem: 5 } },
  ],
  inject_options: () => [
    ...NO_OBJECT,
    ...NO_FILE.map((file) => ({ world: { file } })),
    { prepare: 5 },
    { verify: {} },
    { cleanup: null },
    { progress: "text" },
    { capabilities: ["text"] },
    { capabilities: 5 },
    { max_runs: 0 },
    { max_runs: "8" },
    { seeds: -1 },
    { seeds: [NaN] },
    { seeds: {} },
  ],
};
export const INJECT_ROWS: Readonly<
  Record<string, readonly [args: (b: Bench) => unknown[], ...kinds: string[]]>
> = {
  driver_world: [() => [{}], "world_options"],
  inject_each: [() => [() => true, { max_runs: 1 }], "call", "inject_options"],
  injection: [(b) => [b.machine], "machine_or_dead"],
  without_faults: [(b) => [b.machine, () => true], "machine", "call"],
};
