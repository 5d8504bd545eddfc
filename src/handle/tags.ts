/** The bits of a handle at run time: the address of a 64-byte `struct page`, and what debug mode keeps below it. */

export const PAGE_HANDLE_SHIFT = 6;
export const HANDLE_LOW_BITS = 63;
/** Jan Kara's bit 0: a pinned user page.  Set only on machines that are observed. */
export const TAG_USER = 1;
/** The machine is observed: its handles have tags. */
export const TAG_CHECKED = 2;
/** Each acquisition has a record: functions take their checked path. */
export const TAG_RECORDED = 4;
/** Whether a plain page's handle needs no closer look: nobody looks, or its tags are right and there is no record. */
export function is_plain(handle: number): boolean {
  const low = handle & HANDLE_LOW_BITS;
  return low === 0 || low === TAG_CHECKED;
}
/** The same of a pin. */
export function is_pin_handle(handle: number): boolean {
  const low = handle & HANDLE_LOW_BITS;
  return low === 0 || low === (TAG_CHECKED | TAG_USER);
}
/** Above these bits stands the serial number of the acquisition; bit operations do not see it. */
export const SERIAL_UNIT: number = 2 ** 32;
