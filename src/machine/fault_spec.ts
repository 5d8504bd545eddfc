/**
 * What can be made to fail, in one table, and the strings that say what is to fail (ours, after the attributes of
 * lib/fault-inject.c).
 */

import type { ErrnoName } from "../handle/errno.js";

/** The number that a capability takes after the colon. */
export interface FaultValue {
  /** what it counts */
  readonly unit: string;
  /** the smallest that can be given */
  readonly least: 0 | 1;
  /** what it is when none is given */
  readonly default: string;
}
/** What one capability does, and what its caller sees. */
export interface FaultCapability {
  readonly sentence: string;
  /** what the caller sees */
  readonly sees: string;
  /** the errno of a call that fails whole; none where nothing fails */
  readonly errno: readonly ErrnoName[];
  readonly value: FaultValue | null;
  /** the function of the kernel that fails there, or "(ours)" */
  readonly models: string;
}
/** The name of a capability; as in Linux where it has one. */
export type FaultName =
  | "fail_page_alloc"
  | "fail_make_request"
  | "fail_usercopy"
  | "short_pin"
  | "fault_in_pin"
  | "fail_migrate"
  | "delay_completion"
  | "kill_wait";
/** Each capability by its name in a specification. */
export const FAULT_CAPABILITIES: Readonly<Record<FaultName, FaultCapability>> = {
  fail_page_alloc: {
    sentence: "A page, a folio or a page table is asked for, and there is none.",
    sees: "ENOMEM; small pages where a huge one was wanted; EBUSY where a folio cannot move; EFAULT of a copy; a ShortPin",
    errno: ["ENOMEM", "EFAULT", "EBUSY"],
    value: null,
    models: "should_fail_alloc_page()",
  },
  fail_make_request: {
    sentence: "A bio is submitted, and ends without a transfer.",
    sees: "EIO in its end_io, in softirq context, or of the call that waits; EFAULT of a fault that reads a file",
    errno: ["EIO", "EFAULT"],
    value: null,
    models: "should_fail_request()",
  },
  fail_usercopy: {
    sentence: "A copy to or from user memory stops.",
    sees: "EFAULT, or a short count of a copy by an iterator",
    errno: ["EFAULT"],
    value: { unit: "bytes copied before", least: 0, default: "0" },
    models: "should_fail_usercopy()",
  },
  short_pin: {
    sentence: "A call that takes several pages stops after some, as at a page that went away.",
    sees: "a ShortPin, a short count; EFAULT of a call that takes all or nothing",
    errno: ["EFAULT"],
    value: { unit: "pages still taken", least: 1, default: "half" },
    models: "(ours)",
  },
  fault_in_pin: {
    sentence: "One page of a range that is pinned cannot be accessed.",
    sees: "EFAULT at the first page; a ShortPin, a short count at a later one; EFAULT of all or nothing",
    errno: ["EFAULT"],
    value: { unit: "pages before the one that faults", least: 0, default: "0" },
    models: "(ours)",
  },
  fail_migrate: {
    sentence: "A folio that is about to move stays where it is.",
    sees: "ENOMEM of a long-term pin, EBUSY of cma_alloc()",
    errno: ["ENOMEM", "EBUSY"],
    value: null,
    models: "(ours)",
  },
  delay_completion: {
    sentence: "A disk holds a request back: others end before it.",
    sees: "an end_io that runs late: in a wait for it, in run_softirqs() or flush_work(), or after so many others",
    errno: [],
    value: {
      unit: "requests that end before it, at least",
      least: 1,
      default: "until somebody waits",
    },
    models: "(ours)",
  },
  kill_wait: {
    sentence: "The task gets a SIGKILL while it waits in a walk that faults.",
    sees: "EINTR with the mmap_lock held, else EAGAIN, from then on; a ShortPin or a short count at a later page, of which all_or_none() makes EFAULT",
    errno: ["EINTR", "EAGAIN", "EFAULT"],
    value: null,
    models: "fatal_signal_pending()",
  },
};
/** All of them, in the order of the table. */
export const FAULT_NAMES: readonly FaultName[] = Object.keys(FAULT_CAPABILITIES) as FaultName[];

/** One failure: the `nth` time that `name` is asked for, from 1. */
export interface FaultPoint {
  readonly name: FaultName;
  readonly nth: number;
  /** what follows the colon; null if nothing does */
  readonly value: number | null;
}
/** A specification, read. */
export interface FaultSpec {
  /** as it was given */
  readonly spec: string;
  /** draws what fails; null for a list */
  readonly seed: number | null;
  readonly points: readonly FaultPoint[];
}
const MAX_SEED = 0xffffffff;
const is_fault_name = (name: string): name is FaultName => Object.hasOwn(FAULT_CAPABILITIES, name);
function bad(spec: unknown, why: string): never {
  throw new RangeError(`inject: "${String(spec)}": ${why}`);
}
function point_of(text: string, spec: string): FaultPoint {
  const [, name, n, value] = /^([^@:,]*)@(\d+)(?::(\d+))?$/.exec(text) ?? [];
  const known = FAULT_NAMES.join(", ");
  if (name === undefined || n === undefined) {
    const first = text.replace(/[@:].*$/s, "");
    if (!is_fault_name(first)) bad(spec, `"${first}" is none of ${known}`);
    bad(spec, `"${text}" is not of the form ${first}@N, where N counts from 1`);
  }
  if (!is_fault_name(name)) bad(spec, `"${name}" is none of ${known}`);
  const nth = Number(n);
  if (nth < 1 || !Number.isSafeInteger(nth)) bad(spec, `"${text}": the first time is ${name}@1`);
  if (value === undefined) return { name, nth, value: null };
  const { value: takes } = FAULT_CAPABILITIES[name];
  if (takes === null) bad(spec, `"${text}": ${name} takes no number after a colon`);
  const k = Number(value);
  if (k < takes.least || !Number.isSafeInteger(k)) {
    bad(spec, `"${text}": ${name} takes ${takes.unit}, ${takes.least} and more`);
  }
  return { name, nth, value: k };
}
/**
 * Reads a specification: a list of NAME@N or NAME@N:VALUE, a seed, or nothing.  A RangeError says what is wrong with
 * another one, and which names there are.
 */
export function parse_fault_spec(spec: string): FaultSpec {
  if (typeof spec !== "string") bad(spec, "a specification is a string");
  const text = spec.trim();
  if (text === "") return { spec, seed: null, points: [] };
  if (/^\d+$/.test(text)) {
    const seed = Number(text);
    if (seed > MAX_SEED) bad(spec, `a seed is 0 to ${MAX_SEED}`);
    return { spec, seed, points: [] };
  }
  const points = text.split(",").map((part) => point_of(part.trim(), spec));
  const seen = new Set<string>();
  for (const { name, nth } of points) {
    const at = `${name}@${nth}`;
    if (seen.has(at)) bad(spec, `${at} is there twice`);
    seen.add(at);
  }
  return { spec, seed: null, points };
}
/** A point as a specification has it. */
export function format_fault({ name, nth, value }: FaultPoint): string {
  return value === null ? `${name}@${nth}` : `${name}@${nth}:${value}`;
}
