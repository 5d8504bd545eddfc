/** The bits of a handle at run time: the address of a 64-byte `struct page`, and what debug mode keeps below it. */

export const PAGE_HANDLE_SHIFT = 6;
export const HANDLE_LOW_BITS = 63;
/** Jan Kara's bit 0: a pinned user page.  Tags are set only on machines that are observed. */
export const TAG_USER = 1;
/** A plain reference. */
export const TAG_PLAIN = 2;
/** Each acquisition has a record: functions take their checked path. */
export const TAG_RECORDED = 4;
/**
 * Whether a plain reference needs no closer look: nobody looks, or its tag is right and there is no record.  One test, which
 * is what debug mode costs while it is off.
 */
export function is_plain(handle: number): boolean {
  return (handle & (HANDLE_LOW_BITS & ~TAG_PLAIN)) === 0;
}
/** The same of a pin. */
export function is_pin_handle(handle: number): boolean {
  return (handle & (HANDLE_LOW_BITS & ~TAG_USER)) === 0;
}
/** Above these bits stands the serial number of the acquisition; bit operations do not see it. */
export const SERIAL_UNIT: number = 2 ** 32;
