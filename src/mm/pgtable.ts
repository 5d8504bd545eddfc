/**
 * Page tables of four levels, as on x86-64.  An entry is the handle of a page with flags in its low bits; an entry
 * of an upper level is the number of a table in the same place.  Models the walks of mm/pgtable.
 */

import { new_page_table, page_tables } from "../machine/arena.js";

export const _PAGE_PRESENT = 1;
export const _PAGE_RW = 2;
/** A 2 MiB page, in an entry of the third level. */
export const _PAGE_PSE = 32;
export const PTE_FLAGS = 63;
/** An entry below 0 stands for a page in the swap area; no page has a frame number that large. */
export function is_swap_pte(pte: number): boolean {
  return pte < 0;
}

/** Addresses are split by one multiplication; the rest is 32-bit arithmetic.  2 MiB units of an address: */
export function pmd_number(addr: number): number {
  return (addr / 2097152) | 0;
}
/** Index of the page within its 2 MiB. */
export function pte_index(addr: number, pmd: number): number {
  return ((addr - pmd * 2097152) | 0) >>> 12;
}
/** Where the entry for these 2 MiB stands in `page_tables`; 0 if there is no table that far. */
export function pmd_slot(pgd: number, pmd: number): number {
  const pud = page_tables[(pgd << 9) + (pmd >>> 18)]!;
  if (pud === 0) return 0;
  const table = page_tables[((pud & ~PTE_FLAGS) << 3) + ((pmd >>> 9) & 511)]!;
  return table === 0 ? 0 : ((table & ~PTE_FLAGS) << 3) + (pmd & 511);
}
/** The same, making the tables on the way. */
export function pmd_alloc(pgd: number, pmd: number): number {
  const pud = table_below((pgd << 9) + (pmd >>> 18));
  const table = table_below((pud << 9) + ((pmd >>> 9) & 511));
  return (table << 9) + (pmd & 511);
}
/** The table an entry leads to, made if there is none. */
export function table_below(slot: number): number {
  const entry = page_tables[slot]!;
  if (entry !== 0) return entry >>> 6;
  const table = new_page_table();
  page_tables[slot] = (table << 6) | _PAGE_PRESENT;
  return table;
}
