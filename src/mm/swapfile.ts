/**
 * Where pages go that were taken out of memory: bytes of the host, by slot, for all machines.  Models mm/swapfile.c, without
 * a device and without a swap cache.  An entry of a page table that names a slot is below 0.
 */

import { PAGE_HANDLE_SHIFT } from "../handle/tags.js";

interface Slot {
  readonly bytes: Uint8Array;
  /** entries that name it */
  count: number;
}
const slots: Array<Slot | undefined> = [];
const free_slots: number[] = [];
const slot_of = (pte: number): number => (pte & 0x7fffffff) >>> PAGE_HANDLE_SHIFT;

/** Keeps a copy of these bytes: the entry that names it. */
export function folio_alloc_swap(bytes: Uint8Array): number {
  const slot = free_slots.pop() ?? slots.length;
  slots[slot] = { bytes: bytes.slice(), count: 1 };
  return (slot << PAGE_HANDLE_SHIFT) | 0x80000000;
}
export function swap_bytes(pte: number): Uint8Array {
  return slots[slot_of(pte)]!.bytes;
}
/** One entry more names the slot. */
export function swap_duplicate(pte: number): void {
  slots[slot_of(pte)]!.count++;
}
/** One entry less does. */
export function swap_free(pte: number): void {
  const slot = slot_of(pte);
  if (--slots[slot]!.count > 0) return;
  slots[slot] = undefined;
  free_slots.push(slot);
}
/** Slots in use. */
export function nr_swap_slots(): number {
  return slots.length - free_slots.length;
}
