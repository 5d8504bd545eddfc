/** What every test needs: a machine of the project's mode, memory, bytes, and counts to compare. */
import {
  boot,
  copy_to_user,
  IS_ERR,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  mmap,
  PROT_READ,
  PROT_WRITE,
  vmstat,
  type Errno,
  type Machine,
  type MachineOptions,
  type Task,
  type UserAddr,
  type VmStat,
  MisuseError,
  type MisuseReport,
} from "user-page";
import { page_flags, page_mapcount } from "../src/machine/arena.js";
import { machine_state } from "../src/machine/machine.js";
import { pin_count, ref_count } from "../src/mm/page_ref.js";

/** Whether this run is the one with debug mode on. */
export const debug_mode: boolean = process.env["USER_PAGE_DEBUG"] === "1";

export function boot_for_test(options: MachineOptions = {}): Machine {
  return boot({ CONFIG_DEBUG_USER_PAGE_REFERENCES: debug_mode, ...options });
}
/** A machine on which wrong calls do what they do in Linux. */
export function boot_plain(options: MachineOptions = {}): Machine {
  return boot({ ...options, CONFIG_DEBUG_USER_PAGE_REFERENCES: false });
}
export function map_anon(current: Task, bytes: number, prot = PROT_READ | PROT_WRITE): UserAddr {
  return mmap(current, null, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS)._unsafeUnwrap();
}
/** Bytes that differ from page to page and repeat late. */
export function pattern_of(bytes: number, seed = 1): Uint8Array {
  const pattern = new Uint8Array(bytes);
  let x = seed | 0 || 1;
  for (let i = 0; i < bytes; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    pattern[i] = x >>> 24;
  }
  return pattern;
}
/** Writes a pattern into user memory; what was written. */
export function fill_pattern(current: Task, buf: UserAddr, bytes: number, seed = 1): Uint8Array {
  const pattern = pattern_of(bytes, seed);
  copy_to_user(current, buf, pattern)._unsafeUnwrap();
  return pattern;
}
/** The handle of a call that must not fail here. */
export function must<T>(handle: T): Exclude<T, Errno> {
  if (IS_ERR(handle)) throw new Error(`unexpected: ${(handle as Errno).message}`);
  return handle as Exclude<T, Errno>;
}
/** The errno of a call that must fail here. */
export function errno_of(handle: unknown): string {
  if (!IS_ERR(handle)) throw new Error("no error");
  return (handle as Errno).errno;
}
/** Calls past the compiler, as a legacy driver with a bug would: the only cast around the API in the tests. */
export function forced<R = unknown>(
  call: (...args: never[]) => unknown,
): (...args: unknown[]) => R {
  return call as unknown as (...args: unknown[]) => R;
}

export interface Snapshot {
  readonly stat: VmStat;
  readonly refs: Int32Array;
  readonly pins: Int32Array;
  readonly maps: Int32Array;
  readonly flags: Int32Array;
}
/** Every counter of a machine. */
export function snapshot(machine: Machine): Snapshot {
  const { base, nr_pages } = machine_state(machine);
  const column = (of: (pfn: number) => number): Int32Array =>
    Int32Array.from({ length: nr_pages }, (_, i) => of(base + i));
  return {
    stat: vmstat(machine),
    refs: column(ref_count),
    pins: column(pin_count),
    maps: page_mapcount.slice(base, base + nr_pages),
    flags: page_flags.slice(base, base + nr_pages),
  };
}
/** The names of the counters that differ. */
export function changes(before: Snapshot, after: Snapshot, with_flags = true): string[] {
  const columns = ["refs", "pins", "maps", ...(with_flags ? (["flags"] as const) : [])] as const;
  const changed: string[] = columns.filter((c) => before[c].some((n, i) => n !== after[c][i]));
  const stats = Object.keys(before.stat) as Array<keyof VmStat>;
  changed.push(...stats.filter((name) => before.stat[name] !== after.stat[name]));
  return changed;
}
/** References on the page with this frame number, whoever holds them. */
export const counts = (pfn: number): [refs: number, pins: number] => [
  ref_count(pfn),
  pin_count(pfn),
];
function thrown_report(call: () => unknown): MisuseReport | null {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof MisuseError) return error.report;
    throw error;
  }
}
/** The report of a call that has to be reported. */
export function report_of(call: () => unknown): MisuseReport {
  const report = thrown_report(call);
  if (report === null) throw new Error("not reported");
  return report;
}
/** The id of the misuse that a call throws. */
export const id_of = (call: () => unknown): string => thrown_report(call)?.id ?? "nothing";
