/** Hardware for the call sites: it knows physical addresses and no references. */
import {
  ERRNO,
  IS_ERR,
  MisuseError,
  PAGE_SIZE,
  shutdown,
  vmstat,
  type Machine,
  type SoftirqContext,
} from "user-page";
import { page_flags, PG_dirty } from "../../src/machine/arena.js";
import { raise_softirq } from "../../src/machine/context.js";
import { machine_state } from "../../src/machine/machine.js";
import { bytes_to_read, bytes_to_write } from "../../src/mm/page_alloc.js";
import { head_of } from "../../src/mm/page_ref.js";

/** Contiguous memory, as drivers hand it to a device. */
export interface DmaSegment {
  readonly pfn: number;
  readonly offset: number;
  readonly len: number;
}
export const bytes_in = (segments: readonly DmaSegment[]): number =>
  segments.reduce((sum, { len }) => sum + len, 0);
/** The pages of the segments. */
export function pfns_of(segments: readonly DmaSegment[]): number[] {
  return segments.flatMap(({ pfn, offset, len }) =>
    Array.from({ length: Math.ceil((offset + len) / PAGE_SIZE) }, (_, i) => pfn + i),
  );
}
/** The device writes memory. */
export function dma_write(
  machine: Machine,
  segments: readonly DmaSegment[],
  bytes: Uint8Array,
): void {
  let at = 0;
  for (const { pfn, offset, len } of segments) {
    const part = bytes.subarray(at, at + len);
    bytes_to_write(machine_state(machine), pfn, offset, part.length).set(part);
    at += len;
  }
}
/** The device reads memory. */
export function dma_read(machine: Machine, segments: readonly DmaSegment[]): Uint8Array {
  const bytes = new Uint8Array(bytes_in(segments));
  let at = 0;
  for (const { pfn, offset, len } of segments) {
    bytes.set(bytes_to_read(machine_state(machine), pfn, offset, len), at);
    at += len;
  }
  return bytes;
}
/** The device has finished: its handler runs in softirq context at the next run_softirqs(). */
export function interrupt(machine: Machine, handler: (softirq: SoftirqContext) => void): void {
  raise_softirq(machine_state(machine), handler);
}
/** Which of the pages lie in a folio that is marked dirty. */
export const dirty = (pfns: readonly number[]): boolean[] =>
  pfns.map((pfn) => (page_flags[head_of(pfn)]! & PG_dirty) !== 0);

/** Pins since the machine was booted, as /proc/vmstat counts them. */
export function pins(machine: Machine): [acquired: number, released: number] {
  const { nr_foll_pin_acquired, nr_foll_pin_released } = vmstat(machine);
  return [nr_foll_pin_acquired, nr_foll_pin_released];
}
/** Extents since the machine was booted. */
export function extents(machine: Machine): [acquired: number, released: number] {
  const { nr_user_bvec_acquired, nr_user_bvec_released } = vmstat(machine);
  return [nr_user_bvec_acquired, nr_user_bvec_released];
}
/** What is left when everybody has gone: references that debug mode knows of, pages that never come back. */
export function left_over(machine: Machine): { leaks: number; lost_pages: number } {
  const { leaks, lost_pages } = shutdown(machine);
  return { leaks: leaks.length, lost_pages };
}
export const NOTHING = { leaks: 0, lost_pages: 0 } as const;

/** The errno of what a legacy or a converted function returned; null for success. */
export function errno_name(result: unknown): string | null {
  if (IS_ERR(result)) return (result as { errno: string }).errno;
  if (typeof result !== "number" || result >= 0) return null;
  const found = Object.entries(ERRNO).find(([, number]) => number === -result);
  return found?.[0] ?? String(result);
}
/** What the call returned when it must have succeeded. */
export function succeeded<T>(result: T): Exclude<T, number | { errno: string }> {
  if (typeof result === "number" || errno_name(result)) throw new Error(String(result));
  return result as Exclude<T, number | { errno: string }>;
}
/** The misuse that the call is reported for; null if nobody noticed. */
export function misuse_of(call: () => unknown): string | null {
  try {
    call();
    return null;
  } catch (error) {
    if (error instanceof MisuseError) return error.id;
    throw error;
  }
}
