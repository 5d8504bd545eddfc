/** Who holds which page, as debug mode knows it.  Models mm/page_owner.c, of references where the kernel's is of allocations. */

import type { Machine } from "../../handle/context.js";
import { machine_state } from "../../machine/machine.js";
import { order_of, pin_count, ref_count } from "../../mm/page_ref.js";

/**
 * Each page that a handle holds, by page frame number: its counts, and each reference with the call that took it, where and in
 * which context.  Models /sys/kernel/debug/page_owner.
 *
 * @param machine - with CONFIG_DEBUG_USER_PAGE_REFERENCES at "owners", or at true for the places; a RangeError otherwise
 */
export function proc_page_owner(machine: Machine): string {
  const { probe } = machine_state(machine);
  if (probe?.records !== true) {
    throw new RangeError(
      'proc_page_owner(): who holds a page takes CONFIG_DEBUG_USER_PAGE_REFERENCES at "owners" or true',
    );
  }
  const pages = new Map<number, string[]>();
  for (const { pfn, is, acquisition, acquired_by, acquired_in, acquired_at } of probe.leaks()) {
    const [name] = is.split(",");
    const where = `${acquired_in && ` in ${acquired_in}`}${acquired_at && ` at ${acquired_at}`}`;
    const line = ` ${name!}, acquisition ${acquisition}, by ${acquired_by}${where}`;
    pages.set(pfn, [...(pages.get(pfn) ?? []), line]);
  }
  return [...pages]
    .sort(([a], [b]) => a - b)
    .map(([pfn, lines]) => {
      const order = order_of(pfn);
      const pins = order > 0 ? `, pincount ${pin_count(pfn)}` : "";
      const counts = `refcount ${ref_count(pfn)}${pins}`;
      return `PFN ${pfn}, order ${order}, ${counts}\n${lines.join("\n")}\n\n`;
    })
    .join("");
}
